"""What an export says of its file: plain values, as JSON, and as a page of HTML."""
