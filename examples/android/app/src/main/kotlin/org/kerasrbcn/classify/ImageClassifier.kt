package org.kerasrbcn.classify

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter

/** The classes of one image, and how long the model took. */
class Classification(val predictions: List<Prediction>, val milliseconds: Double)

/**
 * A bundle of keras_rbcn, ready to classify.
 *
 * @param read gives the bytes of a file of the bundle.
 */
class ImageClassifier(read: (String) -> ByteArray, threads: Int = THREADS) : AutoCloseable {
    val metadata = BundleMetadata.read(read(BundleMetadata.FILE))
    private val preprocessing = Preprocessing(metadata.input)
    private val scores =
        Scores(
            metadata.output,
            metadata.output.labelsFile?.let { readLabels(read(it), metadata.output.classes) },
        )
    private val interpreter: Interpreter

    init {
        val content = read(metadata.modelFile)
        metadata.checkModel(content)
        val options = Interpreter.Options()
        options.setNumThreads(threads)
        // Larq Compute Engine's archive is built without it.
        options.setUseXNNPACK(metadata.runtime == "litert")
        interpreter = Interpreter(direct(content), options)
        try {
            checkTensors()
        } catch (error: BundleException) {
            interpreter.close()
            throw error
        }
    }

    /** Classifies an image. Not for the main thread; one thread at a time. */
    fun classify(pixels: Pixels, top: Int = TOP): Classification {
        val inputs = arrayOf<Any>(preprocessing.apply(pixels))
        val output = ByteBuffer.allocateDirect(scores.bytes).order(ByteOrder.nativeOrder())
        val begin = System.nanoTime()
        interpreter.runForMultipleInputsOutputs(inputs, mapOf(metadata.output.index to output))
        val milliseconds = (System.nanoTime() - begin) / 1e6
        return Classification(scores.best(output, top), milliseconds)
    }

    override fun close() = interpreter.close()

    private fun checkTensors() {
        val input = metadata.input
        val output = metadata.output
        val tensor = interpreter.getInputTensor(0)
        val expected = intArrayOf(1, input.height, input.width, input.channels)
        val scoresTensor = interpreter.getOutputTensor(output.index)
        if (!tensor.shape().contentEquals(expected) ||
            tensor.dataType() != typeOf(input.dtype) ||
            !scoresTensor.shape().contentEquals(intArrayOf(1, output.classes)) ||
            scoresTensor.dataType() != typeOf(output.dtype)
        ) {
            throw BundleException("${metadata.modelFile} takes or gives other numbers than told")
        }
    }

    private fun typeOf(dtype: String) =
        when (dtype) {
            "int8" -> DataType.INT8
            "uint8" -> DataType.UINT8
            else -> DataType.FLOAT32
        }

    private fun direct(content: ByteArray): ByteBuffer {
        val buffer = ByteBuffer.allocateDirect(content.size).order(ByteOrder.nativeOrder())
        buffer.put(content)
        buffer.rewind()
        return buffer
    }

    companion object {
        const val TOP = 5
        private const val THREADS = 4
    }
}
