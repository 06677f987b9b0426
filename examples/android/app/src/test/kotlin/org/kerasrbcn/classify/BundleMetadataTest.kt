package org.kerasrbcn.classify

import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class BundleMetadataTest {
    // SHA-256 of "abc", of FIPS 180-2.
    private val digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    private fun written() =
        JSONObject(
            """
            {
              "format": "keras-rbcn-bundle", "format_version": 1, "name": "pets",
              "created_by": "a test",
              "model": {"file": "model.tflite", "sha256": "$digest", "bytes": 3, "runtime": "lce"},
              "inputs": [{
                "name": "photo", "shape": [1, 8, 12, 3], "dtype": "float32", "quantization": null,
                "image": {
                  "color": "rgb", "pixel_range": [0, 255], "mean": [1, 2, 3], "std": [4, 5, 6],
                  "range": [-0.5, 63.5],
                  "resize": {"method": "bilinear", "aspect": "stretch", "fraction": null}
                }
              }],
              "outputs": [
                {
                  "name": "features", "shape": [1, 4, 4, 8], "dtype": "float32",
                  "quantization": null, "kind": "other", "labels": null
                },
                {
                  "name": "scores", "shape": [1, 2], "dtype": "float32", "quantization": null,
                  "kind": "logits", "labels": "labels.txt"
                }
              ]
            }
            """
        )

    private fun read(json: JSONObject) = BundleMetadata.read(json.toString().toByteArray())

    private fun assertRefused(fragment: String, work: () -> Unit) {
        val error = assertThrows(BundleException::class.java) { work() }
        assertTrue(error.message, error.message!!.contains(fragment))
    }

    private fun assertRefused(fragment: String, json: JSONObject) = assertRefused(fragment) { read(json) }

    private fun input(json: JSONObject) = json.getJSONArray("inputs").getJSONObject(0)

    private fun image(json: JSONObject) = input(json).getJSONObject("image")

    @Test
    fun itIsRead() {
        val metadata = read(written())
        assertEquals("pets", metadata.name)
        assertEquals("lce", metadata.runtime)
        assertEquals(listOf(8, 12, 3), metadata.input.run { listOf(height, width, channels) })
        assertArrayEquals(floatArrayOf(1f, 2f, 3f), metadata.input.mean, 0f)
        assertArrayEquals(floatArrayOf(4f, 5f, 6f), metadata.input.std, 0f)
        assertNull(metadata.input.cropFraction)
        assertEquals(1, metadata.output.index)
        assertEquals(2, metadata.output.classes)
        assertTrue(metadata.output.isLogits)
        assertEquals("labels.txt", metadata.output.labelsFile)
    }

    @Test
    fun anotherModelIsRefused() {
        val metadata = read(written())
        metadata.checkModel("abc".toByteArray())
        assertRefused("SHA-256") { metadata.checkModel("abd".toByteArray()) }
    }

    @Test
    fun newerFormatsAreRefused() {
        assertRefused("version 2", written().put("format_version", 2))
        assertRefused("not that of a bundle", written().put("format", "another"))
    }

    @Test
    fun whatTheAppDoesNotKnowIsRefused() {
        assertRefused("how images become inputs", written().also { input(it).put("image", JSONObject.NULL) })
        assertRefused("'int16'", written().also { input(it).put("dtype", "int16") })
        assertRefused("without a scale", written().also { input(it).put("dtype", "int8") })
        assertRefused("does not know", written().also { image(it).put("color", "grayscale") })
        assertRefused("'pad'", written().also { image(it).getJSONObject("resize").put("aspect", "pad") })
        assertRefused("'area'", written().also { image(it).getJSONObject("resize").put("method", "area") })
        assertRefused("metadata.json", written().also { image(it).remove("mean") })
        assertRefused("metadata.json") { BundleMetadata.read("{".toByteArray()) }
    }

    @Test
    fun otherNumbersOfInputsAndOutputsAreRefused() {
        assertRefused("2 inputs", written().also { it.getJSONArray("inputs").put(input(it)) })
        assertRefused("0 outputs", written().also { it.getJSONArray("outputs").remove(1) })
    }

    @Test
    fun labelsAreALineEach() {
        assertEquals(listOf("cat", "red fox"), readLabels("cat\nred fox\n".toByteArray(), 2))
        assertRefused("2 labels for 3") { readLabels("cat\ndog\n".toByteArray(), 3) }
    }
}
