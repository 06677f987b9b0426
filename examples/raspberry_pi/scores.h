// From what the model has written to the classes with the largest scores.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "bundle.h"

namespace rbcn {

struct Prediction {
  std::string label;
  double score;  // From 0 to 1.
};

namespace internal {

inline std::vector<double> read_scores(const ScoresOutput& output,
                                       const std::uint8_t* bytes) {
  std::vector<double> scores;
  for (int number = 0; number < output.classes; ++number) {
    if (!output.quantization) {
      float score;
      std::memcpy(&score, bytes + number * sizeof(float), sizeof(float));
      scores.push_back(score);
    } else {
      const int integer = output.dtype == "int8" ? static_cast<std::int8_t>(bytes[number])
                                                 : bytes[number];
      scores.push_back((integer - output.quantization->zero_point) *
                       output.quantization->scale);
    }
  }
  return scores;
}

inline void softmax(std::vector<double>& scores) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  for (double& score : scores) score = std::exp(score - largest);
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  for (double& score : scores) score /= sum;
}

}  // namespace internal

// The classes with the largest scores, the largest first; of equal ones, that with the
// smaller number. Without labels, the numbers of the classes.
inline std::vector<Prediction> best_classes(const ScoresOutput& output,
                                            const std::vector<std::string>& labels,
                                            const std::uint8_t* bytes, int top) {
  std::vector<double> scores = internal::read_scores(output, bytes);
  if (output.is_logits) internal::softmax(scores);
  std::vector<int> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int one, int other) { return scores[one] > scores[other]; });
  std::vector<Prediction> best;
  for (int number : order) {
    if (best.size() == std::size_t(top)) break;
    const auto label = labels.empty() ? std::to_string(number) : labels[number];
    best.push_back({label, scores[number]});
  }
  return best;
}

}  // namespace rbcn
