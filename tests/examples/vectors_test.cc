// Whether examples/raspberry_pi computes what vectors.json says, and what it reads.
//
//     vectors_test VECTORS.json
//     vectors_test --bundle FOLDER
//
// Prints the name of each case that it got right; ends with 1 at the first wrong one. Of
// a bundle, prints as JSON what it has understood, or ends with 1 and what is wrong.

#include <cmath>
#include <cstdio>
#include <cstring>

#include "bundle.h"
#include "preprocessing.h"
#include "scores.h"

namespace {

using nlohmann::json;

bool image_is_right(const json& value) {
  const auto input = rbcn::parse_input(value.at("input"));
  const rbcn::Image image{value.at("height"), value.at("width"),
                          value.at("pixels").get<std::vector<std::uint8_t>>()};
  const auto bytes = rbcn::preprocess(input, image);
  const auto expected = value.at("expected").get<std::vector<double>>();
  const std::size_t size = input.quantization ? 1 : sizeof(float);
  if (bytes.size() != expected.size() * size) return false;
  double largest = 0;
  for (double number : expected) largest = std::max(largest, std::fabs(number));
  for (std::size_t place = 0; place < expected.size(); ++place) {
    double received;
    if (!input.quantization) {
      float number;
      std::memcpy(&number, &bytes[place * size], size);
      received = number;
      if (std::fabs(received - expected[place]) <= 1e-5 * largest) continue;
    } else {
      received = input.dtype == "int8" ? static_cast<std::int8_t>(bytes[place])
                                       : bytes[place];
      if (received == expected[place]) continue;
    }
    std::printf("%zu: %g, not %g\n", place, received, expected[place]);
    return false;
  }
  return true;
}

bool scores_are_right(const json& value) {
  const auto output = *rbcn::parse_output(0, value.at("output"));
  std::vector<std::string> labels;
  if (!value.at("labels").is_null()) labels = value.at("labels");
  std::vector<std::uint8_t> bytes;
  for (double score : value.at("scores")) {
    if (output.quantization) {
      bytes.push_back(static_cast<std::uint8_t>(static_cast<int>(score)));
      continue;
    }
    const float number = static_cast<float>(score);
    const auto* begin = reinterpret_cast<const std::uint8_t*>(&number);
    bytes.insert(bytes.end(), begin, begin + sizeof(float));
  }
  const auto best = rbcn::best_classes(output, labels, bytes.data(), value.at("top"));
  const auto& expected = value.at("expected");
  if (best.size() != expected.size()) return false;
  for (std::size_t place = 0; place < best.size(); ++place) {
    const double score = expected.at(place).at("score");
    if (best[place].label != expected.at(place).at("label") ||
        std::fabs(best[place].score - score) > 1e-6) {
      return false;
    }
  }
  return true;
}

json told(const std::optional<rbcn::Quantization>& quantization) {
  if (!quantization) return nullptr;
  return {{"scale", quantization->scale}, {"zero_point", quantization->zero_point}};
}

template <typename Value>
json told(const std::optional<Value>& value) {
  return value ? json(*value) : json();
}

json told(const rbcn::ImageInput& input) {
  return {{"height", input.height},
          {"width", input.width},
          {"channels", input.channels},
          {"dtype", input.dtype},
          {"quantization", told(input.quantization)},
          {"mean", input.mean},
          {"std", input.std},
          {"crop_fraction", told(input.crop_fraction)}};
}

json told(const rbcn::ScoresOutput& output) {
  return {{"index", output.index},
          {"classes", output.classes},
          {"dtype", output.dtype},
          {"quantization", told(output.quantization)},
          {"is_logits", output.is_logits},
          {"labels_file", told(output.labels_file)}};
}

int print_bundle(const std::string& folder) {
  try {
    const rbcn::Bundle bundle = rbcn::read_bundle(folder);
    const rbcn::Metadata& metadata = bundle.metadata;
    const json understood = {{"name", metadata.name},
                             {"model_file", metadata.model_file},
                             {"bytes", bundle.model.size()},
                             {"input", told(metadata.input)},
                             {"output", told(metadata.output)},
                             {"labels", bundle.labels}};
    std::printf("%s\n", understood.dump().c_str());
    return 0;
  } catch (const rbcn::Error& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
}

}  // namespace

int main(int count, char* arguments[]) {
  if (count == 3 && std::string(arguments[1]) == "--bundle") {
    return print_bundle(arguments[2]);
  }
  if (count != 2) return 2;
  const json vectors = json::parse(rbcn::read_file(arguments[1]));
  for (const auto& [name, is_right] : {std::pair{"images", &image_is_right},
                                       std::pair{"scores", &scores_are_right}}) {
    for (const auto& value : vectors.at(name)) {
      const std::string title = value.at("name");
      if (!is_right(value)) {
        std::printf("wrong: %s\n", title.c_str());
        return 1;
      }
      std::printf("%s\n", title.c_str());
    }
  }
}
