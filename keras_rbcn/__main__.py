"""`python -m keras_rbcn`: the command line, where the script is not on the path."""

from keras_rbcn.cli import main

if __name__ == "__main__":
    main()
