#include "crew.h"

#include <system_error>

#if defined(_WIN32)
#include <process.h>
#define LZ_PROCESS _getpid
#else
#include <unistd.h>
#define LZ_PROCESS getpid
#endif

namespace lz {

// --- the team ------------------------------------------------------------------------------------

Team::~Team() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    is_over_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Team::Run(int64_t n, int32_t parts, const Job& job) {
  Hire(parts);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    job_ = &job;
    n_ = n;
    num_busy_ = static_cast<int32_t>(threads_.size());
    num_parts_ = std::min(parts, num_busy_ + 1);
    ++num_jobs_;
  }
  changed_.notify_all();
  DoPart(0);
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return num_busy_ == 0; });
}

void Team::Hire(int32_t parts) {
  threads_.reserve(parts - 1);
  try {
    for (int32_t part = static_cast<int32_t>(threads_.size()) + 1; part < parts; ++part) {
      threads_.emplace_back(&Team::Work, this, part, num_jobs_);
    }
  } catch (const std::system_error&) {  // the system has no more threads: go on with these
  }
}

void Team::DoPart(int32_t part) const {
  if (part >= num_parts_) return;
  const int64_t begin = n_ * part / num_parts_, end = n_ * (part + 1) / num_parts_;
  (*job_)(part, begin, end);
}

// Works on every job but the first `seen`, which were handed out before this thread was there.
void Team::Work(int32_t part, int64_t seen) {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return is_over_ || num_jobs_ != seen; });
    if (is_over_) return;
    seen = num_jobs_;
    lock.unlock();
    DoPart(part);
    lock.lock();
    if (--num_busy_ == 0) changed_.notify_all();
  }
}

// --- the crew ------------------------------------------------------------------------------------

Crew::~Crew() {
  if (IsForked()) (void)team_.release();
}

Team& Crew::OwnTeam() {
  if (IsForked()) (void)team_.release();
  if (!team_) {
    team_ = std::make_unique<Team>();
    owner_ = LZ_PROCESS();
  }
  return *team_;
}

// Whether a fork has copied us, but not the threads of our team: it can only be forgotten then.
bool Crew::IsForked() const { return team_ && owner_ != LZ_PROCESS(); }

}  // namespace lz
