// From pixels to what the model takes, as keras_rbcn does it.
//
// To be compiled with -ffp-contract=off: fused operations round in another way.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bundle.h"

namespace rbcn {

// Red, green and blue of each pixel, row by row.
struct Image {
  int height, width;
  std::vector<std::uint8_t> pixels;
};

namespace internal {

// The two pixels that a place lies between, and how near it is to the second.
struct Step {
  int low, high;
  float share;
};

inline std::vector<Step> steps(int count, int available) {
  const float scale = available / static_cast<float>(count);
  std::vector<Step> result;
  for (int number = 0; number < count; ++number) {
    const float place = (number + 0.5f) * scale - 0.5f;
    const float below = std::floor(place);
    result.push_back({std::max(static_cast<int>(below), 0),
                      std::min(static_cast<int>(std::ceil(place)), available - 1),
                      place - below});
  }
  return result;
}

// The part of the image that is used.
struct Window {
  int left, top, width, height;
};

inline Window window(const ImageInput& input, const Image& image) {
  if (!input.crop_fraction) return {0, 0, image.width, image.height};
  const float ratio = static_cast<float>(static_cast<double>(input.width) / input.height);
  const float height = std::min(float(image.height), image.width / ratio);
  const float width = std::min(float(image.width), image.height * ratio);
  // To the nearest integer, halves to the even one.
  const int rows = std::max(int(std::nearbyint(height * *input.crop_fraction)), 1);
  const int columns = std::max(int(std::nearbyint(width * *input.crop_fraction)), 1);
  return {(image.width - columns) / 2, (image.height - rows) / 2, columns, rows};
}

inline float level(const ImageInput& input, const Image& image, int x, int y,
                   int channel) {
  const std::uint8_t* pixel = &image.pixels[3 * (std::size_t(y) * image.width + x)];
  if (input.channels == 3) return pixel[channel];
  return (299 * pixel[0] + 587 * pixel[1] + 114 * pixel[2] + 500) / 1000;
}

}  // namespace internal

// (pixel - mean) / std, of the image in the model's size.
inline std::vector<float> normalized(const ImageInput& input, const Image& image) {
  using namespace internal;
  const Window part = window(input, image);
  const auto columns = steps(input.width, part.width);
  std::vector<float> values;
  for (const Step& row : steps(input.height, part.height)) {
    for (const Step& column : columns) {
      for (int channel = 0; channel < input.channels; ++channel) {
        const auto between = [&](int y) {
          const float left = level(input, image, part.left + column.low, y, channel);
          const float right = level(input, image, part.left + column.high, y, channel);
          return left + (right - left) * column.share;
        };
        const float top = between(part.top + row.low);
        const float bottom = between(part.top + row.high);
        const float value = top + (bottom - top) * row.share;
        values.push_back((value - input.mean[channel]) / input.std[channel]);
      }
    }
  }
  return values;
}

// The bytes of the whole input, in the type that the model takes.
inline std::vector<std::uint8_t> preprocess(const ImageInput& input, const Image& image) {
  const std::vector<float> values = normalized(input, image);
  std::vector<std::uint8_t> bytes;
  if (!input.quantization) {
    bytes.resize(values.size() * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  const bool has_sign = input.dtype == "int8";
  for (const float value : values) {
    const float step = std::nearbyint(value / input.quantization->scale) +
                       input.quantization->zero_point;
    const float limited = has_sign ? std::clamp(step, -128.0f, 127.0f)
                                   : std::clamp(step, 0.0f, 255.0f);
    bytes.push_back(static_cast<std::uint8_t>(static_cast<int>(limited)));
  }
  return bytes;
}

}  // namespace rbcn
