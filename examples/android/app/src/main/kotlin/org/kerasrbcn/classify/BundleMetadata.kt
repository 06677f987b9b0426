package org.kerasrbcn.classify

import java.security.MessageDigest
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/** What is wrong with the bundle in the app. */
class BundleException(message: String) : Exception(message)

/** Integers that stand for real numbers: `(integer - zeroPoint) * scale`. */
data class Quantization(val scale: Float, val zeroPoint: Int)

/** How an image becomes the input of the model. */
class ImageInput(
    val height: Int,
    val width: Int,
    val channels: Int,
    val dtype: String,
    val quantization: Quantization?,
    /** Of each channel: a pixel becomes (pixel - mean) / std. */
    val mean: FloatArray,
    val std: FloatArray,
    /** Share of the middle that is cut out; null if the image is taken whole. */
    val cropFraction: Float?,
)

/** The output with the scores of the classes. */
class ScoresOutput(
    /** Its place among the outputs of the model. */
    val index: Int,
    val classes: Int,
    val dtype: String,
    val quantization: Quantization?,
    /** Whether a softmax is needed to make probabilities of them. */
    val isLogits: Boolean,
    /** The file with the names of the classes; null if there is none. */
    val labelsFile: String?,
)

/** `metadata.json` of a bundle of keras_rbcn, as far as the app needs it. */
class BundleMetadata(
    val name: String,
    val modelFile: String,
    val modelSha256: String,
    val runtime: String,
    val input: ImageInput,
    val output: ScoresOutput,
) {
    /** Throws unless the bytes are those of the model that was told of. */
    fun checkModel(content: ByteArray) {
        val digest = MessageDigest.getInstance("SHA-256").digest(content)
        val received = digest.joinToString("") { "%02x".format(it) }
        if (received != modelSha256) {
            throw BundleException("$modelFile was exchanged: its SHA-256 is $received")
        }
    }

    companion object {
        const val FILE = "metadata.json"
        private const val FORMAT = "keras-rbcn-bundle"
        private const val FORMAT_VERSION = 1

        fun read(content: ByteArray): BundleMetadata =
            try {
                parse(JSONObject(content.decodeToString()))
            } catch (error: JSONException) {
                throw BundleException("$FILE: ${error.message}")
            }

        private fun parse(json: JSONObject): BundleMetadata {
            require(json.getString("format") == FORMAT) { "is not that of a bundle" }
            val version = json.getInt("format_version")
            require(version == FORMAT_VERSION) {
                "has format version $version, this app knows $FORMAT_VERSION"
            }
            val model = json.getJSONObject("model")
            val inputs = json.getJSONArray("inputs")
            require(inputs.length() == 1) { "tells of ${inputs.length()} inputs, not one" }
            return BundleMetadata(
                name = json.getString("name"),
                modelFile = model.getString("file"),
                modelSha256 = model.getString("sha256"),
                runtime = model.getString("runtime"),
                input = parseInput(inputs.getJSONObject(0)),
                output = parseOutputs(json.getJSONArray("outputs")),
            )
        }

        fun parseInput(json: JSONObject): ImageInput {
            require(!json.isNull("image")) { "does not tell how images become inputs" }
            val image = json.getJSONObject("image")
            val shape = json.getJSONArray("shape")
            val channels = shape.getInt(3)
            val color = if (channels == 1) "grayscale" else "rgb"
            require(shape.getInt(0) == 1 && image.getString("color") == color) {
                "tells of images that this app does not know"
            }
            val range = image.getJSONArray("pixel_range")
            require(range.getInt(0) == 0 && range.getInt(1) == 255) {
                "counts pixels from ${range.get(0)} to ${range.get(1)}"
            }
            return ImageInput(
                height = shape.getInt(1),
                width = shape.getInt(2),
                channels = channels,
                dtype = known(json.getString("dtype"), "float32", "int8", "uint8"),
                quantization = parseQuantization(json),
                mean = numbers(image.getJSONArray("mean"), channels),
                std = numbers(image.getJSONArray("std"), channels),
                cropFraction = parseResize(image.getJSONObject("resize")),
            )
        }

        private fun parseResize(json: JSONObject): Float? {
            known(json.getString("method"), "bilinear")
            val aspect = known(json.getString("aspect"), "stretch", "crop")
            return if (aspect == "crop") json.getDouble("fraction").toFloat() else null
        }

        private fun parseOutputs(json: JSONArray): ScoresOutput {
            val outputs = (0 until json.length()).map { parseOutput(it, json.getJSONObject(it)) }
            val scores = outputs.filterNotNull()
            require(scores.size == 1) { "tells of ${scores.size} outputs of scores, not one" }
            return scores.single()
        }

        /** An output; null if it holds no scores of classes. */
        fun parseOutput(index: Int, json: JSONObject): ScoresOutput? {
            val kind = known(json.getString("kind"), "logits", "probabilities", "other")
            if (kind == "other") return null
            return ScoresOutput(
                index = index,
                classes = json.getJSONArray("shape").getInt(1),
                dtype = known(json.getString("dtype"), "float32", "int8", "uint8"),
                quantization = parseQuantization(json),
                isLogits = kind == "logits",
                labelsFile = if (json.isNull("labels")) null else json.getString("labels"),
            )
        }

        private fun parseQuantization(json: JSONObject): Quantization? {
            val quantized = json.getString("dtype") != "float32"
            require(quantized != json.isNull("quantization")) {
                "tells of integers without a scale, or of a scale without integers"
            }
            if (!quantized) return null
            val quantization = json.getJSONObject("quantization")
            return Quantization(
                quantization.getDouble("scale").toFloat(),
                quantization.getInt("zero_point"),
            )
        }

        private fun numbers(json: JSONArray, count: Int): FloatArray {
            require(json.length() == count) { "tells ${json.length()} numbers for $count channels" }
            return FloatArray(count) { json.getDouble(it).toFloat() }
        }

        private fun known(value: String, vararg choices: String): String {
            require(value in choices) { "says '$value', this app knows ${choices.joinToString()}" }
            return value
        }

        private inline fun require(condition: Boolean, problem: () -> String) {
            if (!condition) throw BundleException("$FILE ${problem()}")
        }
    }
}

/** The names of the classes, a line each. */
fun readLabels(content: ByteArray, classes: Int): List<String> {
    val labels = content.decodeToString().removeSuffix("\n").split("\n")
    if (labels.size != classes) {
        throw BundleException("there are ${labels.size} labels for $classes classes")
    }
    return labels
}
