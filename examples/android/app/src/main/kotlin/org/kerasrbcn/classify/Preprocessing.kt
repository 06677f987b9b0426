package org.kerasrbcn.classify

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

/**
 * Turns images into what the model takes, as keras_rbcn does it.
 *
 * Android's own scaling of bitmaps smooths in another way, and changes the scores.
 */
class Preprocessing(private val input: ImageInput) {
    private val bytesPerNumber = if (input.dtype == "float32") 4 else 1

    /** The whole input, row by row, in the type that the model takes. */
    fun apply(pixels: Pixels): ByteBuffer {
        val size = input.height * input.width * input.channels * bytesPerNumber
        val buffer = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder())
        for (value in normalized(pixels)) put(buffer, value)
        buffer.rewind()
        return buffer
    }

    /** (pixel - mean) / std, of the image in the model's size. */
    fun normalized(pixels: Pixels): FloatArray {
        val window = window(pixels)
        val rows = steps(input.height, window.height)
        val columns = steps(input.width, window.width)
        val values = FloatArray(input.height * input.width * input.channels)
        var place = 0
        for (row in rows) {
            for (column in columns) {
                val topLeft = pixels.argb(window.left + column.low, window.top + row.low)
                val topRight = pixels.argb(window.left + column.high, window.top + row.low)
                val bottomLeft = pixels.argb(window.left + column.low, window.top + row.high)
                val bottomRight = pixels.argb(window.left + column.high, window.top + row.high)
                for (channel in 0 until input.channels) {
                    val top = between(topLeft, topRight, channel, column.share)
                    val bottom = between(bottomLeft, bottomRight, channel, column.share)
                    val value = top + (bottom - top) * row.share
                    values[place++] = (value - input.mean[channel]) / input.std[channel]
                }
            }
        }
        return values
    }

    private fun put(buffer: ByteBuffer, value: Float) {
        val quantization = input.quantization
        if (quantization == null) {
            buffer.putFloat(value)
            return
        }
        // To the nearest integer, halves to the even one.
        val step = round(value / quantization.scale) + quantization.zeroPoint
        val limited =
            if (input.dtype == "int8") step.coerceIn(-128f, 127f) else step.coerceIn(0f, 255f)
        buffer.put(limited.toInt().toByte())
    }

    private fun between(left: Int, right: Int, channel: Int, share: Float): Float {
        val first = level(left, channel).toFloat()
        return first + (level(right, channel) - first) * share
    }

    private fun level(argb: Int, channel: Int): Int {
        val red = argb shr 16 and 0xff
        val green = argb shr 8 and 0xff
        val blue = argb and 0xff
        return when {
            input.channels == 1 -> (299 * red + 587 * green + 114 * blue + 500) / 1000
            channel == 0 -> red
            channel == 1 -> green
            else -> blue
        }
    }

    private class Window(val left: Int, val top: Int, val width: Int, val height: Int)

    /** The part of the image that is used. */
    private fun window(pixels: Pixels): Window {
        val fraction = input.cropFraction ?: return Window(0, 0, pixels.width, pixels.height)
        val aspectRatio = (input.width.toDouble() / input.height).toFloat()
        val height = min(pixels.height.toFloat(), pixels.width / aspectRatio)
        val width = min(pixels.width.toFloat(), pixels.height * aspectRatio)
        val rows = max(round(height * fraction).toInt(), 1)
        val columns = max(round(width * fraction).toInt(), 1)
        return Window((pixels.width - columns) / 2, (pixels.height - rows) / 2, columns, rows)
    }

    /** The two pixels that a place lies between, and how near it is to the second. */
    private class Step(val low: Int, val high: Int, val share: Float)

    private fun steps(count: Int, available: Int): List<Step> {
        val scale = available / count.toFloat()
        return List(count) {
            val place = (it + 0.5f) * scale - 0.5f
            val below = floor(place)
            Step(
                max(below.toInt(), 0),
                min(ceil(place).toInt(), available - 1),
                place - below,
            )
        }
    }
}
