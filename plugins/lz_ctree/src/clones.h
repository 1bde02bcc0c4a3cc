// A function marked LZ_CLONES is compiled for several kinds of vector instructions; the processor
// picks one when the program starts. The bits of its results are the same.

#ifndef LZ_CTREE_CLONES_H_
#define LZ_CTREE_CLONES_H_

// Sanitizers cannot run the resolvers that choose among clones.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if __GNUC__ >= 12
#define LZ_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define LZ_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#else
#define LZ_CLONES
#endif

#endif  // LZ_CTREE_CLONES_H_
