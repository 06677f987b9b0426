package org.kerasrbcn.classify

import java.nio.ByteBuffer
import kotlin.math.exp

/** A class, and a score from 0 to 1. */
data class Prediction(val label: String, val score: Float)

/** Reads the scores that the model has written, and names the largest. */
class Scores(private val output: ScoresOutput, private val labels: List<String>?) {
    /** How many bytes the model writes. */
    val bytes = output.classes * if (output.dtype == "float32") 4 else 1

    /** The classes with the largest scores, the largest first. */
    fun best(buffer: ByteBuffer, top: Int): List<Prediction> {
        val scores = read(buffer)
        val shares = if (output.isLogits) softmax(scores) else scores
        // Stable: of equal scores, the class with the smaller number comes first.
        return shares.indices.sortedByDescending { shares[it] }.take(top).map {
            Prediction(labels?.get(it) ?: it.toString(), shares[it])
        }
    }

    private fun read(buffer: ByteBuffer): FloatArray {
        buffer.rewind()
        val quantization = output.quantization
        return FloatArray(output.classes) {
            if (quantization == null) {
                buffer.getFloat()
            } else {
                val byte = buffer.get().toInt()
                val integer = if (output.dtype == "int8") byte else byte and 0xff
                (integer - quantization.zeroPoint) * quantization.scale
            }
        }
    }

    private fun softmax(scores: FloatArray): FloatArray {
        val largest = scores.max()
        val exponentials = scores.map { exp(it.toDouble() - largest) }
        val sum = exponentials.sum()
        return FloatArray(scores.size) { (exponentials[it] / sum).toFloat() }
    }
}
