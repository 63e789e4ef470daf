// Reads lines of syllables joined by apostrophes; writes for each the microseconds taken, a tab, and libime's first candidate.
// g++ -O2 -std=c++17 -I/usr/include/LibIME -I/usr/include/Fcitx5/Utils libime.cpp -o libime -lIMEPinyin -lIMECore -lFcitx5Utils
#include <chrono>
#include <iostream>
#include <memory>
#include <string>

#include <libime/core/userlanguagemodel.h>
#include <libime/pinyin/pinyincontext.h>
#include <libime/pinyin/pinyindictionary.h>
#include <libime/pinyin/pinyinime.h>

int main(int argc, char **argv) {
    if (argc != 3) {
        std::cerr << "usage: libime DICTIONARY LANGUAGE_MODEL < lines\n";
        return 2;
    }
    libime::PinyinIME ime(std::make_unique<libime::PinyinDictionary>(), std::make_unique<libime::UserLanguageModel>(argv[2]));
    ime.dict()->load(libime::PinyinDictionary::SystemDict, argv[1], libime::PinyinDictFormat::Binary);
    libime::PinyinContext context(&ime);
    std::string line;
    while (std::getline(std::cin, line)) {
        const auto began = std::chrono::steady_clock::now();
        context.clear();
        context.type(line);
        const auto &found = context.candidates();
        const std::string text = found.empty() ? "" : found[0].toString();
        const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - began;
        std::cout << static_cast<long>(took.count()) << '\t' << text << '\n';
    }
}
