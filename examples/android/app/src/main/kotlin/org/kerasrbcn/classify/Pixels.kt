package org.kerasrbcn.classify

/** An image, pixel by pixel: the leftmost one of the topmost row is at (0, 0). */
interface Pixels {
    val width: Int
    val height: Int

    /** A pixel as 0xAARRGGBB. */
    fun argb(x: Int, y: Int): Int
}

/**
 * An image upright, whatever way the camera was held.
 *
 * @param source the image as it is stored.
 * @param orientation what EXIF says of it, from 1 (upright) to 8; others count as 1.
 */
class Upright(private val source: Pixels, private val orientation: Int) : Pixels {
    private val lies = orientation in 5..8

    override val width = if (lies) source.height else source.width
    override val height = if (lies) source.width else source.height

    override fun argb(x: Int, y: Int): Int {
        val right = source.width - 1
        val bottom = source.height - 1
        return when (orientation) {
            2 -> source.argb(right - x, y)
            3 -> source.argb(right - x, bottom - y)
            4 -> source.argb(x, bottom - y)
            5 -> source.argb(y, x)
            6 -> source.argb(y, bottom - x)
            7 -> source.argb(right - y, bottom - x)
            8 -> source.argb(right - y, x)
            else -> source.argb(x, y)
        }
    }
}
