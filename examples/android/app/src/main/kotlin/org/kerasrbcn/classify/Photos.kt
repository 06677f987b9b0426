package org.kerasrbcn.classify

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.media.ExifInterface
import android.net.Uri
import java.io.IOException
import java.io.InputStream

/** An image that the user chose, and the way that the camera was held. */
class Photo(private val bitmap: Bitmap, private val orientation: Int) {
    /** Upright. */
    val pixels: Pixels = Upright(BitmapPixels(bitmap), orientation)

    /** Upright, and small enough to be shown. */
    fun toShow(): Bitmap {
        val scale = minOf(1f, LONGEST_SHOWN / maxOf(pixels.width, pixels.height).toFloat())
        val width = maxOf((pixels.width * scale).toInt(), 1)
        val height = maxOf((pixels.height * scale).toInt(), 1)
        val colors =
            IntArray(width * height) {
                pixels.argb(
                    it % width * pixels.width / width,
                    it / width * pixels.height / height,
                )
            }
        return Bitmap.createBitmap(colors, width, height, Bitmap.Config.ARGB_8888)
    }

    companion object {
        private const val LONGEST_SHOWN = 1024
        // What is larger is decoded at half the size or less, for want of memory: only
        // then do the numbers differ slightly from those of Python.
        private const val MOST_PIXELS = 24_000_000L

        /** Reads an image; not for the main thread. */
        fun read(resolver: ContentResolver, uri: Uri): Photo {
            val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
            open(resolver, uri) { BitmapFactory.decodeStream(it, null, bounds) }
            val options = BitmapFactory.Options()
            options.inPreferredConfig = Bitmap.Config.ARGB_8888
            options.inSampleSize = 1
            val size = bounds.outWidth.toLong() * bounds.outHeight
            while (size / (options.inSampleSize * options.inSampleSize) > MOST_PIXELS) {
                options.inSampleSize *= 2
            }
            val bitmap = open(resolver, uri) { BitmapFactory.decodeStream(it, null, options) }
            val orientation = open(resolver, uri) { orientationOf(it) }
            return Photo(bitmap ?: throw IOException("No image: $uri"), orientation)
        }

        private fun orientationOf(stream: InputStream): Int =
            try {
                ExifInterface(stream).getAttributeInt(
                    ExifInterface.TAG_ORIENTATION,
                    ExifInterface.ORIENTATION_NORMAL,
                )
            } catch (unknown: IOException) {
                ExifInterface.ORIENTATION_NORMAL // A format without EXIF.
            }

        private fun <T> open(
            resolver: ContentResolver,
            uri: Uri,
            use: (InputStream) -> T,
        ): T {
            val stream = resolver.openInputStream(uri) ?: throw IOException("No file: $uri")
            return stream.use(use)
        }
    }
}

private class BitmapPixels(private val bitmap: Bitmap) : Pixels {
    override val width = bitmap.width
    override val height = bitmap.height

    override fun argb(x: Int, y: Int) = bitmap.getPixel(x, y)
}
