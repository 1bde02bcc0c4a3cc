// Threads that share the roots of a batch among them.

#ifndef LZ_CTREE_CREW_H_
#define LZ_CTREE_CREW_H_

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace lz {

using Job = std::function<void(int32_t part, int64_t begin, int64_t end)>;

// Threads that wait for jobs, each of which they cut into parts.
class Team {
 public:
  Team() = default;
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Runs a job over [0, n) in so many equal parts, or fewer if the system has no more threads; the
  // caller works on the first. Returns when the job is done; it must not throw.
  void Run(int64_t n, int32_t parts, const Job& job);

 private:
  void Hire(int32_t parts);
  void Work(int32_t part, int64_t seen);
  void DoPart(int32_t part) const;

  std::vector<std::thread> threads_;  // of parts 1 and up
  std::mutex mutex_;
  std::condition_variable changed_;
  const Job* job_ = nullptr;
  int64_t n_ = 0;
  int32_t num_parts_ = 0;
  int64_t num_jobs_ = 0;  // handed out so far
  int32_t num_busy_ = 0;
  bool is_over_ = false;
};

// Runs jobs in one thread or in several. Small ones are done before another thread wakes up, so
// they are not shared. Trees share nothing, so it does not matter who does which.
class Crew {
 public:
  explicit Crew(int32_t most_parts) : most_parts_(most_parts) {}
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  template <class AnyJob>
  void Run(int64_t n, const AnyJob& job) {
    const int64_t parts = std::min<int64_t>(most_parts_, n / kLeastPart);
    if (parts < 2) return job(0, 0, n);
    OwnTeam().Run(n, static_cast<int32_t>(parts), job);
  }

 private:
  static constexpr int64_t kLeastPart = 256;  // roots; waking a thread takes as long as 200

  Team& OwnTeam();
  bool IsForked() const;

  const int32_t most_parts_;
  std::unique_ptr<Team> team_;  // made when it is first needed
  int64_t owner_ = 0;           // the process that its threads live in
};

}  // namespace lz

#endif  // LZ_CTREE_CREW_H_
