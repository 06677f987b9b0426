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
  explicit Classifier(const std::string& folder) : bundle_(rbcn::read_bundle(folder)) {
    build();
    const rbcn::ImageInput& input = bundle_.metadata.input;
    check_tensor(*interpreter_->input_tensor(0), input.dtype,
                 {1, input.height, input.width, input.channels});
    const rbcn::ScoresOutput& scores = bundle_.metadata.output;
    check_tensor(*output(), scores.dtype, {1, scores.classes});
  }

  const std::string& name() const { return bundle_.metadata.name; }

  std::vector<rbcn::Prediction> classify(const rbcn::Image& image, double* seconds) {
    const auto input = rbcn::preprocess(bundle_.metadata.input, image);
    std::memcpy(interpreter_->input_tensor(0)->data.raw, input.data(), input.size());
    const auto begin = std::chrono::steady_clock::now();
    if (interpreter_->Invoke() != kTfLiteOk) throw rbcn::Error("the inference failed");
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    *seconds = taken.count();
    return rbcn::best_classes(bundle_.metadata.output, bundle_.labels,
                              reinterpret_cast<const std::uint8_t*>(output()->data.raw),
                              kTop);
  }

 private:
  void build() {
    model_ = tflite::FlatBufferModel::VerifyAndBuildFromBuffer(bundle_.model.data(),
                                                               bundle_.model.size());
    if (!model_) throw rbcn::Error(bundle_.metadata.model_file + " is no valid model");
    tflite::ops::builtin::BuiltinOpResolver resolver;
    compute_engine::tflite::RegisterLCECustomOps(&resolver);
    tflite::InterpreterBuilder(*model_, resolver)(&interpreter_, kThreads);
    if (!interpreter_ || interpreter_->AllocateTensors() != kTfLiteOk) {
      throw rbcn::Error(bundle_.metadata.model_file + " cannot be run");
    }
  }

  const TfLiteTensor* output() const {
    return interpreter_->output_tensor(bundle_.metadata.output.index);
  }

  void check_tensor(const TfLiteTensor& tensor, const std::string& dtype,
                    const std::vector<int>& shape) const {
    const TfLiteIntArray& dims = *tensor.dims;
    if (tensor.type != type_of(dtype) ||
        std::vector<int>(dims.data, dims.data + dims.size) != shape) {
      throw rbcn::Error(bundle_.metadata.model_file +
                        " takes or gives other numbers than told");
    }
  }

  const rbcn::Bundle bundle_;  // The model reads from its bytes.
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
