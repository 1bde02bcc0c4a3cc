#include "crew.h"

namespace lz {

Crew::~Crew() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    is_over_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Crew::RunParts(int64_t n, const Job& job) {
  Hire();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    job_ = &job;
    n_ = n;
    num_busy_ = num_parts_ - 1;
    ++num_jobs_;
  }
  changed_.notify_all();
  DoPart(0);
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return num_busy_ == 0; });
}

void Crew::Hire() {
  for (int32_t part = static_cast<int32_t>(threads_.size()) + 1; part < num_parts_; ++part) {
    threads_.emplace_back(&Crew::Work, this, part);
  }
}

void Crew::DoPart(int32_t part) const {
  const int64_t begin = n_ * part / num_parts_, end = n_ * (part + 1) / num_parts_;
  if (begin < end) (*job_)(part, begin, end);
}

void Crew::Work(int32_t part) {
  std::unique_lock<std::mutex> lock(mutex_);
  for (int64_t seen = 0;;) {
    changed_.wait(lock, [&] { return is_over_ || num_jobs_ != seen; });
    if (is_over_) return;
    seen = num_jobs_;
    lock.unlock();
    DoPart(part);
    lock.lock();
    if (--num_busy_ == 0) changed_.notify_all();
  }
}

}  // namespace lz
