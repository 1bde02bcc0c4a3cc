// Threads that share the roots of a batch among them.

#ifndef LZ_CTREE_CREW_H_
#define LZ_CTREE_CREW_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace lz {

// Runs a job over [0, n) in as many equal parts as there are threads; the caller works on part 0.
// Trees share nothing, so it does not matter who does which.
class Crew {
 public:
  using Job = std::function<void(int32_t part, int64_t begin, int64_t end)>;

  explicit Crew(int32_t num_threads) : num_parts_(num_threads) {}
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  int32_t num_parts() const { return num_parts_; }

  // Returns when the job is done; it must not throw.
  template <class AnyJob>
  void Run(int64_t n, const AnyJob& job) {
    if (num_parts_ == 1 || n < 2) return job(0, 0, n);
    RunParts(n, job);
  }

 private:
  void RunParts(int64_t n, const Job& job);
  void Hire();
  void Work(int32_t part);
  void DoPart(int32_t part) const;

  const int32_t num_parts_;
  std::vector<std::thread> threads_;  // of parts 1 and up; started by the first Run
  std::mutex mutex_;
  std::condition_variable changed_;
  const Job* job_ = nullptr;
  int64_t n_ = 0;
  int64_t num_jobs_ = 0;  // handed out so far
  int32_t num_busy_ = 0;
  bool is_over_ = false;
};

}  // namespace lz

#endif  // LZ_CTREE_CREW_H_
