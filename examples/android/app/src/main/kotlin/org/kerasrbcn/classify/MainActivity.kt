package org.kerasrbcn.classify

import android.content.ActivityNotFoundException
import android.net.Uri
import android.os.Bundle
import android.widget.Button
import android.widget.ImageView
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia
import androidx.activity.result.contract.ActivityResultContracts.TakePicture
import androidx.core.content.FileProvider
import java.io.File
import java.util.concurrent.Executors

/** Takes an image from the gallery or the camera, and shows its classes. */
class MainActivity : ComponentActivity() {
    // All that reads or computes; one thread, as the model serves one at a time.
    private val worker = Executors.newSingleThreadExecutor()

    // Of the worker's thread alone.
    private var classifier: ImageClassifier? = null

    private lateinit var photo: ImageView
    private lateinit var results: TextView
    private lateinit var buttons: List<Button>

    private val fromGallery =
        registerForActivityResult(PickVisualMedia()) { uri -> if (uri != null) classify(uri) }
    private val fromCamera =
        registerForActivityResult(TakePicture()) { taken -> if (taken) classify(cameraUri()) }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.activity_main)
        photo = findViewById(R.id.photo)
        results = findViewById(R.id.results)
        val gallery = findViewById<Button>(R.id.gallery)
        val camera = findViewById<Button>(R.id.camera)
        buttons = listOf(gallery, camera)
        gallery.setOnClickListener {
            fromGallery.launch(PickVisualMediaRequest(PickVisualMedia.ImageOnly))
        }
        camera.setOnClickListener {
            try {
                fromCamera.launch(cameraUri())
            } catch (missing: ActivityNotFoundException) {
                results.setText(R.string.no_camera)
            }
        }
        inBackground {
            val read = ImageClassifier({ assets.open("$FOLDER/$it").use { file -> file.readBytes() } })
            classifier = read
            show { title = read.metadata.name; results.setText(R.string.choose) }
        }
    }

    override fun onDestroy() {
        worker.execute { classifier?.close() }
        worker.shutdown()
        super.onDestroy()
    }

    private fun classify(uri: Uri) {
        inBackground {
            // The worker has read it before this, or has failed and said so.
            val ready = classifier ?: return@inBackground
            val image = Photo.read(contentResolver, uri)
            val classification = ready.classify(image.pixels)
            val shown = image.toShow()
            show { photo.setImageBitmap(shown); results.text = lines(classification) }
        }
    }

    private fun lines(classification: Classification): String {
        val lines =
            classification.predictions.map {
                getString(R.string.result, it.score * 100, it.label)
            }
        return (lines + "" + getString(R.string.time, classification.milliseconds))
            .joinToString("\n")
    }

    /** Runs it on the worker's thread, and shows what went wrong. */
    private fun inBackground(work: () -> Unit) {
        buttons.forEach { it.isEnabled = false }
        worker.execute {
            try {
                work()
            } catch (error: Exception) {
                val usable = classifier != null
                show(usable) { results.text = error.message ?: error.toString() }
            }
        }
    }

    /** Shows what the work has given, unless the user has gone meanwhile. */
    private fun show(usable: Boolean = true, update: () -> Unit) = runOnUiThread {
        if (!isDestroyed) {
            update()
            buttons.forEach { it.isEnabled = usable }
        }
    }

    /** Where the camera puts its image: always the same place, which a restart knows too. */
    private fun cameraUri(): Uri {
        val folder = File(cacheDir, "photos").apply { mkdirs() }
        return FileProvider.getUriForFile(this, "$packageName.photos", File(folder, "photo.jpg"))
    }

    companion object {
        // In the app's assets.
        private const val FOLDER = "bundle"
    }
}
