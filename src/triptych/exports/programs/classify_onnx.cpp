// Print the verdict of a committee on photos, JPEG files; run it in this folder.
//
// Needs onnxruntime's C++ headers and library (its release, or the NuGet package
// Microsoft.ML.OnnxRuntime) and libjpeg:
//
// g++ -std=c++17 -O2 -I ORT/include classify.cpp -L ORT/lib -lonnxruntime -ljpeg -o classify
// ./classify PHOTO...

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <jpeglib.h>

constexpr const char* STATUSES[] = {"sure", "unsure", "none", "not promised"};

struct Image {
  int64_t height, width;
  std::vector<uint8_t> rgb;
};

// The turn that the camera noted in its EXIF block, 1 to 8; 1 where there is none.
int orientation_of(const jpeg_decompress_struct& file) {
  for (auto* marker = file.marker_list; marker; marker = marker->next) {
    const uint8_t* data = marker->data;
    const size_t size = marker->data_length;
    if (size < 14 || std::memcmp(data, "Exif\0\0", 6) != 0) continue;
    const uint8_t* tiff = data + 6;
    const size_t length = size - 6;
    const bool little = tiff[0] == 'I';
    auto number = [&](size_t at, int bytes) -> size_t {
      size_t value = 0;
      for (int i = 0; i < bytes && at + bytes <= length; ++i)
        value |= static_cast<size_t>(tiff[at + i]) << 8 * (little ? i : bytes - 1 - i);
      return value;
    };
    const size_t start = number(4, 4), entries = number(start, 2);
    for (size_t i = 0; i < entries; ++i)
      if (size_t at = start + 2 + 12 * i; number(at, 2) == 0x0112) {
        const int turn = static_cast<int>(number(at + 8, 2));
        return turn >= 1 && turn <= 8 ? turn : 1;
      }
  }
  return 1;
}

Image upright(const Image& image, int orientation) {
  const bool is_turned = orientation >= 5;
  const int64_t height = is_turned ? image.width : image.height;
  const int64_t width = is_turned ? image.height : image.width;
  Image result{height, width, std::vector<uint8_t>(image.rgb.size())};
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      int64_t row = is_turned ? x : y, column = is_turned ? y : x;
      if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7)
        row = image.height - 1 - row;
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8)
        column = image.width - 1 - column;
      const uint8_t* from = &image.rgb[3 * (row * image.width + column)];
      std::copy(from, from + 3, &result.rgb[3 * (y * width + x)]);
    }
  return result;
}

void fail(j_common_ptr file) {
  char message[JMSG_LENGTH_MAX];
  file->err->format_message(file, message);
  throw std::runtime_error(message);
}

Image read_photo(const std::string& name) {
  FILE* stream = std::fopen(name.c_str(), "rb");
  if (!stream) throw std::runtime_error("cannot be opened");
  jpeg_decompress_struct file;
  jpeg_error_mgr errors;
  file.err = jpeg_std_error(&errors);
  errors.error_exit = fail;
  jpeg_create_decompress(&file);
  jpeg_stdio_src(&file, stream);
  jpeg_save_markers(&file, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&file, TRUE);
  // A large photo is decoded in a smaller size, as in Triptych.
  const unsigned shorter = std::min(file.image_width, file.image_height) / {enough};
  file.scale_num = 1;
  file.scale_denom = shorter >= 8 ? 8 : shorter >= 4 ? 4 : shorter >= 2 ? 2 : 1;
  file.out_color_space = JCS_RGB;
  jpeg_start_decompress(&file);
  Image image{file.output_height, file.output_width, {}};
  image.rgb.resize(3 * image.height * image.width);
  while (file.output_scanline < file.output_height) {
    uint8_t* row = &image.rgb[3 * image.width * file.output_scanline];
    jpeg_read_scanlines(&file, &row, 1);
  }
  const int orientation = orientation_of(file);
  jpeg_finish_decompress(&file);
  jpeg_destroy_decompress(&file);
  std::fclose(stream);
  return upright(image, orientation);
}

int main(int count, char** arguments) {
  std::vector<std::string> labels;
  std::ifstream lines("labels.txt");
  for (std::string line; std::getline(lines, line);) labels.push_back(line);

  Ort::Env environment(ORT_LOGGING_LEVEL_ERROR);
  Ort::Session network(environment, ORT_TSTR("{file}"), Ort::SessionOptions{});
  const char* inputs[] = {"image"};
  // Of a multi-label committee, any number of classes may hold; of others, one is in the set.
  bool is_multilabel = false;
  Ort::AllocatorWithDefaultOptions allocator;
  for (size_t i = 0; i < network.GetOutputCount(); ++i)
    is_multilabel |= std::string("holds") == network.GetOutputNameAllocated(i, allocator).get();
  const char* outputs[] = {"probs", "status", is_multilabel ? "holds" : "set"};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);

  int failed = 0;
  for (int i = 1; i < count; ++i) try {
      Image photo = read_photo(arguments[i]);
      const int64_t shape[] = {photo.height, photo.width, 3};
      const auto image = Ort::Value::CreateTensor<uint8_t>(
          memory, photo.rgb.data(), photo.rgb.size(), shape, 3);
      const auto answer = network.Run({}, inputs, &image, 1, outputs, 3);
      const float* probs = answer[0].GetTensorData<float>();
      const char* status = STATUSES[answer[1].GetTensorData<int64_t>()[0]];
      const bool* named = answer[2].GetTensorData<bool>();
      const size_t best = std::max_element(probs, probs + labels.size()) - probs;
      std::cout << arguments[i];
      if (!is_multilabel) std::cout << "\t" << labels[best] << "\t" << probs[best];
      std::cout << "\t" << status;
      for (size_t index = 0; index < labels.size(); ++index) {
        if (!named[index]) continue;
        std::cout << "\t" << labels[index];
        if (is_multilabel) std::cout << "\t" << probs[index];
      }
      std::cout << "\n";
    } catch (const std::exception& error) {
      std::cerr << arguments[i] << ": " << error.what() << "\n";
      failed = 1;
    }
  return failed;
}
