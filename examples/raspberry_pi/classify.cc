// Classifies images by a bundle of keras_rbcn, with Larq Compute Engine's operators.
//
//     classify BUNDLE IMAGE...

#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "larq_compute_engine/tflite/kernels/lce_ops_register.h"
#include "tensorflow/lite/interpreter.h"
#include "tensorflow/lite/kernels/register.h"
#include "tensorflow/lite/model.h"

#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>

#include "bundle.h"
#include "preprocessing.h"
#include "scores.h"

namespace {

constexpr int kTop = 5;
constexpr int kThreads = 4;

rbcn::Image load_image(const std::string& path) {
  int width, height, channels;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load(path.c_str(), &width, &height, &channels, 3), stbi_image_free);
  if (!pixels) throw rbcn::Error("cannot read '" + path + "': " + stbi_failure_reason());
  const std::size_t size = std::size_t(3) * width * height;
  return {height, width, {pixels.get(), pixels.get() + size}};
}

TfLiteType type_of(const std::string& dtype) {
  if (dtype == "int8") return kTfLiteInt8;
  return dtype == "uint8" ? kTfLiteUInt8 : kTfLiteFloat32;
}

class Classifier {
 public:
  explicit Classifier(const std::string& folder)
      : metadata_(rbcn::parse_metadata(rbcn::read_file(folder + "/metadata.json"))),
        content_(rbcn::read_file(folder + "/" + metadata_.model_file)) {
    if (metadata_.output.labels_file) {
      labels_ = rbcn::parse_labels(
          rbcn::read_file(folder + "/" + *metadata_.output.labels_file),
          metadata_.output.classes);
    }
    if (content_.size() != metadata_.model_bytes) {
      throw rbcn::Error(metadata_.model_file + " is not the model of metadata.json");
    }
    build();
    check_tensor(*interpreter_->input_tensor(0), metadata_.input.dtype,
                 {1, metadata_.input.height, metadata_.input.width,
                  metadata_.input.channels});
    check_tensor(*output(), metadata_.output.dtype, {1, metadata_.output.classes});
  }

  const std::string& name() const { return metadata_.name; }

  std::vector<rbcn::Prediction> classify(const rbcn::Image& image, double* seconds) {
    const auto input = rbcn::preprocess(metadata_.input, image);
    std::memcpy(interpreter_->input_tensor(0)->data.raw, input.data(), input.size());
    const auto begin = std::chrono::steady_clock::now();
    if (interpreter_->Invoke() != kTfLiteOk) throw rbcn::Error("the inference failed");
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    *seconds = taken.count();
    return rbcn::best_classes(metadata_.output, labels_,
                              reinterpret_cast<const std::uint8_t*>(output()->data.raw),
                              kTop);
  }

 private:
  void build() {
    model_ = tflite::FlatBufferModel::VerifyAndBuildFromBuffer(content_.data(),
                                                               content_.size());
    if (!model_) throw rbcn::Error(metadata_.model_file + " is no valid model");
    tflite::ops::builtin::BuiltinOpResolver resolver;
    compute_engine::tflite::RegisterLCECustomOps(&resolver);
    tflite::InterpreterBuilder(*model_, resolver)(&interpreter_, kThreads);
    if (!interpreter_ || interpreter_->AllocateTensors() != kTfLiteOk) {
      throw rbcn::Error(metadata_.model_file + " cannot be run");
    }
  }

  const TfLiteTensor* output() const {
    return interpreter_->output_tensor(metadata_.output.index);
  }

  void check_tensor(const TfLiteTensor& tensor, const std::string& dtype,
                    const std::vector<int>& shape) const {
    const TfLiteIntArray& dims = *tensor.dims;
    if (tensor.type != type_of(dtype) ||
        std::vector<int>(dims.data, dims.data + dims.size) != shape) {
      throw rbcn::Error(metadata_.model_file + " takes or gives other numbers than told");
    }
  }

  rbcn::Metadata metadata_;
  std::string content_;  // Of the model, which reads from it.
  std::vector<std::string> labels_;
  std::unique_ptr<tflite::FlatBufferModel> model_;
  std::unique_ptr<tflite::Interpreter> interpreter_;
};

}  // namespace

int main(int count, char* arguments[]) {
  if (count < 3) {
    std::fprintf(stderr, "usage: %s BUNDLE IMAGE...\n", arguments[0]);
    return 2;
  }
  try {
    Classifier classifier(arguments[1]);
    std::printf("%s\n", classifier.name().c_str());
    for (int number = 2; number < count; ++number) {
      double seconds;
      const auto best = classifier.classify(load_image(arguments[number]), &seconds);
      std::printf("%s (%.1f ms)\n", arguments[number], 1000 * seconds);
      for (const auto& prediction : best) {
        std::printf("  %5.1f %%  %s\n", 100 * prediction.score, prediction.label.c_str());
      }
    }
  } catch (const rbcn::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
