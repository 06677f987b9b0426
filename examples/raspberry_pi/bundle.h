// A bundle of keras_rbcn, as far as the program needs it.
#pragma once

#include <array>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace rbcn {

// What is wrong with a bundle or an image.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Integers that stand for real numbers: (integer - zero_point) * scale.
struct Quantization {
  float scale;
  int zero_point;
};

// How an image becomes the input of the model.
struct ImageInput {
  int height, width, channels;
  std::string dtype;
  std::optional<Quantization> quantization;
  // Of each channel: a pixel becomes (pixel - mean) / std.
  std::vector<float> mean, std;
  // Share of the middle that is cut out; none if the image is taken whole.
  std::optional<float> crop_fraction;
};

// The output with the scores of the classes.
struct ScoresOutput {
  int index;  // Its place among the outputs of the model.
  int classes;
  std::string dtype;
  std::optional<Quantization> quantization;
  bool is_logits;  // Whether a softmax makes probabilities of them.
  std::optional<std::string> labels_file;
};

struct Metadata {
  std::string name, model_file;
  std::size_t model_bytes;
  ImageInput input;
  ScoresOutput output;
};

struct Bundle {
  Metadata metadata;
  std::string model;                // The bytes of the file.
  std::vector<std::string> labels;  // None if the bundle has no names of classes.
};

inline void expect(bool condition, const std::string& problem) {
  if (!condition) throw Error("metadata.json " + problem);
}

inline std::string known(const nlohmann::json& value,
                         const std::vector<std::string>& choices) {
  const std::string text = value.get<std::string>();
  for (const auto& choice : choices) {
    if (text == choice) return text;
  }
  throw Error("metadata.json says '" + text + "', which this program does not know");
}

inline std::optional<Quantization> parse_quantization(const nlohmann::json& value) {
  const auto& quantization = value.at("quantization");
  const bool real = value.at("dtype") == "float32";
  expect(real == quantization.is_null(),
         "tells of integers without a scale, or of a scale without integers");
  if (real) return std::nullopt;
  return Quantization{quantization.at("scale").get<float>(),
                      quantization.at("zero_point").get<int>()};
}

inline ImageInput parse_input(const nlohmann::json& value) {
  const auto& image = value.at("image");
  expect(!image.is_null(), "does not tell how images become inputs");
  const auto shape = value.at("shape").get<std::vector<int>>();
  expect(shape.size() == 4 && shape[0] == 1 && (shape[3] == 1 || shape[3] == 3),
         "tells of images of another shape");
  ImageInput input;
  input.height = shape[1];
  input.width = shape[2];
  input.channels = shape[3];
  known(image.at("color"), {input.channels == 1 ? "grayscale" : "rgb"});
  expect(image.at("pixel_range") == nlohmann::json({0, 255}),
         "counts pixels in another range");
  input.dtype = known(value.at("dtype"), {"float32", "int8", "uint8"});
  input.quantization = parse_quantization(value);
  input.mean = image.at("mean").get<std::vector<float>>();
  input.std = image.at("std").get<std::vector<float>>();
  expect(input.mean.size() == std::size_t(input.channels) &&
             input.std.size() == std::size_t(input.channels),
         "tells of other channels");
  const auto& resize = image.at("resize");
  known(resize.at("method"), {"bilinear"});
  if (known(resize.at("aspect"), {"stretch", "crop"}) == "crop") {
    input.crop_fraction = resize.at("fraction").get<float>();
  }
  return input;
}

// An output; none if it holds no scores of classes.
inline std::optional<ScoresOutput> parse_output(int index, const nlohmann::json& value) {
  const auto kind = known(value.at("kind"), {"logits", "probabilities", "other"});
  if (kind == "other") return std::nullopt;
  ScoresOutput output;
  output.index = index;
  output.classes = value.at("shape").at(1).get<int>();
  output.dtype = known(value.at("dtype"), {"float32", "int8", "uint8"});
  output.quantization = parse_quantization(value);
  output.is_logits = kind == "logits";
  if (!value.at("labels").is_null()) {
    output.labels_file = value.at("labels").get<std::string>();
  }
  return output;
}

inline Metadata parse_metadata(const std::string& content) {
  try {
    const auto value = nlohmann::json::parse(content);
    known(value.at("format"), {"keras-rbcn-bundle"});
    expect(value.at("format_version") == 1, "has another format version than 1");
    expect(value.at("inputs").size() == 1, "tells of several inputs");
    std::vector<ScoresOutput> scores;
    int index = 0;
    for (const auto& output : value.at("outputs")) {
      const auto parsed = parse_output(index++, output);
      if (parsed) scores.push_back(*parsed);
    }
    expect(scores.size() == 1, "does not tell of exactly one output of scores");
    const auto& model = value.at("model");
    return Metadata{value.at("name").get<std::string>(),
                    model.at("file").get<std::string>(),
                    model.at("bytes").get<std::size_t>(),
                    parse_input(value.at("inputs").at(0)), scores.front()};
  } catch (const nlohmann::json::exception& error) {
    throw Error(std::string("metadata.json: ") + error.what());
  }
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  if (!file) throw Error("cannot read '" + path + "'");
  return content.str();
}

// The names of the classes, a line each.
inline std::vector<std::string> parse_labels(const std::string& content, int classes) {
  std::vector<std::string> labels;
  std::istringstream lines(content);
  for (std::string line; std::getline(lines, line);) labels.push_back(line);
  if (labels.size() != std::size_t(classes)) {
    throw Error("there are " + std::to_string(labels.size()) + " labels for " +
                std::to_string(classes) + " classes");
  }
  return labels;
}

inline Bundle read_bundle(const std::string& folder) {
  Bundle bundle;
  bundle.metadata = parse_metadata(read_file(folder + "/metadata.json"));
  const Metadata& metadata = bundle.metadata;
  bundle.model = read_file(folder + "/" + metadata.model_file);
  if (bundle.model.size() != metadata.model_bytes) {
    throw Error(metadata.model_file + " is not the model of metadata.json");
  }
  if (metadata.output.labels_file) {
    bundle.labels = parse_labels(read_file(folder + "/" + *metadata.output.labels_file),
                                 metadata.output.classes);
  }
  return bundle;
}

}  // namespace rbcn
