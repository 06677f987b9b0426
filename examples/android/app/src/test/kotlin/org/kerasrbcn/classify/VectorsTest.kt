package org.kerasrbcn.classify

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** That the app computes what keras_rbcn computes, on what Python has written. */
class VectorsTest {
    private val vectors =
        JSONObject(checkNotNull(javaClass.getResource("/vectors.json")).readText())

    private fun cases(name: String): List<JSONObject> {
        val cases = vectors.getJSONArray(name)
        assertTrue(cases.length() > 0)
        return List(cases.length()) { cases.getJSONObject(it) }
    }

    @Test
    fun imagesBecomeTheSameInputs() {
        for (case in cases("images")) {
            val input = BundleMetadata.parseInput(case.getJSONObject("input"))
            val pixels = StoredPixels(case)
            val received = Preprocessing(input).apply(pixels)
            val expected = case.getJSONArray("expected")
            val name = case.getString("name")
            if (input.quantization == null) {
                val numbers = FloatArray(received.remaining() / 4) { received.getFloat() }
                assertArrayEquals(name, floats(expected), numbers, 1e-5f * numbers.largest())
            } else {
                val mask = if (input.dtype == "uint8") 0xff else -1
                val numbers = IntArray(received.remaining()) { received.get().toInt() and mask }
                assertArrayEquals(name, integers(expected), numbers)
            }
        }
    }

    @Test
    fun scoresBecomeTheSameClasses() {
        for (case in cases("scores")) {
            val output = checkNotNull(BundleMetadata.parseOutput(0, case.getJSONObject("output")))
            val labels = if (case.isNull("labels")) null else strings(case.getJSONArray("labels"))
            val scores = Scores(output, labels)
            val buffer = ByteBuffer.allocate(scores.bytes).order(ByteOrder.nativeOrder())
            for (score in floats(case.getJSONArray("scores"))) {
                if (output.quantization == null) {
                    buffer.putFloat(score)
                } else {
                    buffer.put(score.toInt().toByte())
                }
            }
            val received = scores.best(buffer, case.getInt("top"))
            val expected = case.getJSONArray("expected")
            val name = case.getString("name")
            assertEquals(name, expected.length(), received.size)
            received.forEachIndexed { place, prediction ->
                val best = expected.getJSONObject(place)
                assertEquals(name, best.getString("label"), prediction.label)
                assertEquals(name, best.getDouble("score"), prediction.score.toDouble(), 1e-6)
            }
        }
    }

    @Test
    fun imagesAreTurnedAlike() {
        for (case in cases("orientations")) {
            val upright = Upright(Rows(case.getJSONArray("stored")), case.getInt("orientation"))
            val expected = case.getJSONArray("upright")
            val received =
                List(upright.height) { y -> List(upright.width) { x -> upright.argb(x, y) } }
            val rows = List(expected.length()) { integers(expected.getJSONArray(it)).toList() }
            assertEquals(case.getInt("orientation").toString(), rows, received)
        }
    }

    @Test
    fun metadataIsUnderstood() {
        for (case in cases("metadata")) {
            val content = case.getJSONObject("written").toString().toByteArray()
            val metadata = BundleMetadata.read(content)
            val expected = case.getJSONObject("expected")
            assertEquals(expected.getString("name"), metadata.name)
            assertEquals(expected.getString("model_file"), metadata.modelFile)
            assertEquals(expected.getString("sha256"), metadata.modelSha256)
            assertEquals(expected.getString("runtime"), metadata.runtime)
            assertUnderstood(expected.getJSONObject("input"), metadata.input)
            assertUnderstood(expected.getJSONObject("output"), metadata.output)
        }
    }

    private fun assertUnderstood(expected: JSONObject, input: ImageInput) {
        assertEquals(expected.getInt("height"), input.height)
        assertEquals(expected.getInt("width"), input.width)
        assertEquals(expected.getInt("channels"), input.channels)
        assertEquals(expected.getString("dtype"), input.dtype)
        assertEquals(quantization(expected), input.quantization)
        assertArrayEquals(floats(expected.getJSONArray("mean")), input.mean, 0f)
        assertArrayEquals(floats(expected.getJSONArray("std")), input.std, 0f)
        val fraction =
            if (expected.isNull("crop_fraction")) null else expected.getDouble("crop_fraction")
        assertEquals(fraction?.toFloat(), input.cropFraction)
    }

    private fun assertUnderstood(expected: JSONObject, output: ScoresOutput) {
        assertEquals(expected.getInt("index"), output.index)
        assertEquals(expected.getInt("classes"), output.classes)
        assertEquals(expected.getString("dtype"), output.dtype)
        assertEquals(quantization(expected), output.quantization)
        assertEquals(expected.getBoolean("is_logits"), output.isLogits)
        val file = if (expected.isNull("labels_file")) null else expected.getString("labels_file")
        assertEquals(file, output.labelsFile)
    }

    private fun quantization(json: JSONObject): Quantization? {
        if (json.isNull("quantization")) return null
        val numbers = json.getJSONObject("quantization")
        return Quantization(numbers.getDouble("scale").toFloat(), numbers.getInt("zero_point"))
    }

    private fun FloatArray.largest() = maxOf { kotlin.math.abs(it) }

    private fun floats(json: JSONArray) = FloatArray(json.length()) { json.getDouble(it).toFloat() }

    private fun integers(json: JSONArray) = IntArray(json.length()) { json.getInt(it) }

    private fun strings(json: JSONArray) = List(json.length()) { json.getString(it) }

    /** Red, green and blue, pixel by pixel. */
    private class StoredPixels(case: JSONObject) : Pixels {
        private val values = case.getJSONArray("pixels")
        override val width = case.getInt("width")
        override val height = case.getInt("height")

        override fun argb(x: Int, y: Int): Int {
            val place = 3 * (y * width + x)
            val (red, green, blue) = List(3) { values.getInt(place + it) }
            return (0xff shl 24) or (red shl 16) or (green shl 8) or blue
        }
    }

    private class Rows(private val rows: JSONArray) : Pixels {
        override val width = rows.getJSONArray(0).length()
        override val height = rows.length()

        override fun argb(x: Int, y: Int) = rows.getJSONArray(y).getInt(x)
    }
}
