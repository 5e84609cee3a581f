/*
 * How fast batch normalization can be on this processor: loops written by hand, with its widest vectors, stores that
 * bypass the cache, and OpenMP. What clnorm reaches is to be judged by these.
 *
 * The work is clnorm's, and so is the order of numbers: the mean first, then squared deviations from it, over a piece that
 * is still in the cache; pieces are combined by Chan's formula in double precision. Nowhere is a variance E[x^2] - E[x]^2.
 * On values of about 1 results are within 1e-5 of double precision; the report has the figure. Sums within a piece are
 * plain float32 ones, so a mean of many deviations costs more digits than it does in clnorm: the loops may only be too fast.
 *
 * Each task can be cut in several ways: how much of the tensor is worked on at a time, and what is prefetched. "prepare"
 * tries them all and keeps the quickest, so what is timed is the best of them on this machine.
 *
 * Talks in lines, for org.clnorm.benchmark.Guest:
 *   prepare DIRECTION|COPY FORM BATCH CHANNELS SPATIAL INPUTS OUTPUTS PADDED SETS   -> ready ID DESCRIPTION
 *   run ID FIRST COUNT                                                         -> done SECONDS
 *   result ID                                                                  -> the floats of output 0, as they are
 */
#include <immintrin.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __AVX512F__
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#error "limits.c is for processors with AVX2 or AVX-512"
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int ivec __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define THREADS_AT_MOST 256
#define PLANE_IS_LARGE 1024
#define EPSILON 1e-5
#define MOMENTUM 0.1

enum direction { FORWARD, BACKWARD, INFERENCE, COPY };
static const char *const directions[] = {"FORWARD", "BACKWARD", "INFERENCE", "COPY"};

/* A way to cut a task: the bytes or columns worked on at a time, how far ahead is prefetched in a first pass (in floats),
   whether the next piece is prefetched while this one is written, and the threads. */
struct cut {
    int stripes;
    long piece;
    long ahead;
    int next;
    int threads;
};

struct task {
    enum direction direction;
    int planes; /* channels-first with more than one position; otherwise rows of columns */
    long batch, channels, spatial, elements;
    long inputs, outputs, padded, sets;
    long unit;  /* planes: channels whose positions together fill whole vectors */
    long lines; /* planes: vectors in them */
    ivec *which; /* planes: for each vector of a unit, which of its channels each lane belongs to */
    long rows, width; /* rows: virtual ones, of whole vectors; column j is of channel j % channels */
    float *gamma, *beta, *running_mean, *running_variance, *dgamma, *dbeta;
    /* By channel, or by column where there are rows: saved mean and inverse deviation, and the coefficients of a pass. */
    float *hi, *lo, *invstd, *scale, *slope, *shift;
    double *partial; /* by thread and column: two numbers */
    struct cut cut;
};

static float *inputs, *outputs;

INLINE vec load(const float *p) { return *(const loose *)p; }
INLINE void stream(float *p, vec v) {
#if LANES == 16
    _mm512_stream_ps(p, (__m512)v);
#else
    _mm256_stream_ps(p, (__m256)v);
#endif
}
INLINE vec all(float f) { return f - (vec){0}; }
INLINE double sum(vec v) {
    double s = 0;
    for (int i = 0; i < LANES; i++) s += v[i];
    return s;
}
INLINE void prefetch(const float *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }
INLINE void prefetch_later(const float *p) { _mm_prefetch((const char *)p, _MM_HINT_T1); }
INLINE vec masked(vec v, ivec mask) { return (vec)((ivec)v & mask); }
static ivec mask_of(long lanes) {
    ivec mask;
    for (int i = 0; i < LANES; i++) mask[i] = i < lanes ? -1 : 0;
    return mask;
}
static long gcd(long a, long b) { return b == 0 ? a : gcd(b, a % b); }
static void *room(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 4 * 64) / 64 * 64 + 64);
    if (!p) {
        fprintf(stderr, "limits: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    memset(p, 0, (bytes + 4 * 64) / 64 * 64 + 64);
    return p;
}

struct moments {
    double count, mean, m2;
};

/* Chan's formula. */
INLINE struct moments combine(struct moments a, struct moments b) {
    double count = a.count + b.count, delta = b.mean - a.mean;
    if (count == 0) return a;
    return (struct moments){count, a.mean + delta * b.count / count, a.m2 + b.m2 + delta * delta * a.count * b.count / count};
}

/* Of whole vectors that fit the nearest cache: the mean, then the deviations from it. */
INLINE struct moments moments_of(const float *x, long count, long ahead) {
    vec s[4] = {{0}};
    long i = 0;
    for (; i + 4 * LANES <= count; i += 4 * LANES)
        for (int u = 0; u < 4; u++) {
            if (ahead) prefetch(x + i + u * LANES + ahead);
            s[u] += load(x + i + u * LANES);
        }
    for (; i < count; i += LANES) s[0] += load(x + i);
    double mean = sum((s[0] + s[1]) + (s[2] + s[3])) / count;
    vec near = all((float)mean), d[4] = {{0}};
    for (i = 0; i + 4 * LANES <= count; i += 4 * LANES)
        for (int u = 0; u < 4; u++) {
            vec v = load(x + i + u * LANES) - near;
            d[u] += v * v;
        }
    for (; i < count; i += LANES) {
        vec v = load(x + i) - near;
        d[0] += v * v;
    }
    double off = mean - (float)mean;
    return (struct moments){count, mean, sum((d[0] + d[1]) + (d[2] + d[3])) - count * off * off};
}

/* Saved and running statistics of channel c, and the coefficients of y = (x - hi) * scale + shift, which are for entry j. */
INLINE void fold_moments(struct task *t, long c, long j, struct moments m) {
    double variance = m.m2 / m.count, invstd = 1 / sqrt(variance + EPSILON);
    double unbiased = m.count > 1 ? m.m2 / (m.count - 1) : variance;
    t->hi[j] = (float)m.mean;
    t->lo[j] = (float)(m.mean - t->hi[j]);
    t->invstd[j] = (float)invstd;
    t->scale[j] = (float)(t->gamma[c] * invstd);
    t->shift[j] = t->beta[c] - t->lo[j] * t->scale[j];
    if (j == c) {
        t->running_mean[c] = (float)((1 - MOMENTUM) * t->running_mean[c] + MOMENTUM * m.mean);
        t->running_variance[c] = (float)((1 - MOMENTUM) * t->running_variance[c] + MOMENTUM * unbiased);
    }
}

/* dgamma, dbeta, and the coefficients of dx = dy * scale + (x - hi) * slope + shift. */
INLINE void fold_gradients(struct task *t, long c, long j, double dy, double dyx) {
    double count = (double)t->batch * t->spatial;
    dyx -= t->lo[j] * dy;
    double scale = (double)t->gamma[c] * t->invstd[j];
    double slope = -scale * t->invstd[j] * t->invstd[j] * dyx / count;
    t->scale[j] = (float)scale;
    t->slope[j] = (float)slope;
    t->shift[j] = (float)(-scale * dy / count - slope * t->lo[j]);
    if (j == c) {
        t->dbeta[c] = (float)dy;
        t->dgamma[c] = (float)(dyx * t->invstd[j]);
    }
}

INLINE void fold_given(struct task *t, long c, long j) {
    double invstd = 1 / sqrt(t->running_variance[c] + EPSILON);
    t->hi[j] = t->running_mean[c];
    t->scale[j] = (float)(t->gamma[c] * invstd);
    t->shift[j] = t->beta[c];
}

/* ---- channels-first: planes ------------------------------------------------------------------------------------------- */

/* Writes the positions of channels [c, end) of one sample: whole units of channels, so that vectors are aligned. A vector
   that has positions of several channels picks each lane's coefficient. */
INLINE void apply_planes(const struct task *t, const float *x, const float *dy, float *out, long c, long end, long next) {
    for (; c < end; c += t->unit) {
        vec hi = load(t->hi + c), scale = load(t->scale + c), shift = load(t->shift + c), slope = load(t->slope + c);
        if (t->unit == 1) {
            hi = all(t->hi[c]), scale = all(t->scale[c]), shift = all(t->shift[c]), slope = all(t->slope[c]);
            for (long i = 0; i < t->lines * LANES; i += LANES) {
                if (next) prefetch_later(x + i + next);
                if (next && dy) prefetch_later(dy + i + next);
                vec v = (load(x + i) - hi) * (dy ? slope : scale) + shift;
                stream(out + i, dy ? load(dy + i) * scale + v : v);
            }
        } else {
            for (long l = 0; l < t->lines; l++) {
                ivec of = t->which[l];
                long i = l * LANES;
                if (next) prefetch_later(x + i + next);
                if (next && dy) prefetch_later(dy + i + next);
                vec v = (load(x + i) - __builtin_shuffle(hi, of)) * __builtin_shuffle(dy ? slope : scale, of) + __builtin_shuffle(shift, of);
                stream(out + i, dy ? load(dy + i) * __builtin_shuffle(scale, of) + v : v);
            }
        }
        x += t->unit * t->spatial;
        out += t->unit * t->spatial;
        if (dy) dy += t->unit * t->spatial;
    }
}

/* A run of neighbouring channels at a time, in all samples; together they fit the second cache, so that they come from
   memory once. */
static void planes_by_run(struct task *t, const float *x, const float *dy, float *out) {
    long spatial = t->spatial, stride = t->channels * spatial, whole = spatial / LANES * LANES;
    ivec rest = mask_of(spatial - whole);
    long units = t->channels / t->unit;
    long run = t->cut.piece / (t->batch * spatial * 4 * t->unit * (dy ? 2 : 1));
    run = run < 1 ? 1 : run;
#pragma omp parallel num_threads(t->cut.threads)
    {
        long me = omp_get_thread_num(), many = omp_get_num_threads();
        long first = units * me / many, last = units * (me + 1) / many;
        long pieces = (last - first + run - 1) / run;
        vec *a = room(sizeof(vec) * (run * t->unit)), *b = room(sizeof(vec) * (run * t->unit));
        for (long piece = 0; piece < pieces; piece++) {
            long c0 = (first + (last - first) * piece / pieces) * t->unit;
            long c1 = (first + (last - first) * (piece + 1) / pieces) * t->unit;
            long ahead = t->cut.ahead < 0 ? stride : t->cut.ahead;
            if (spatial >= PLANE_IS_LARGE && spatial % LANES == 0) {
                for (long c = c0; c < c1; c++) {
                    struct moments m = {0, 0, 0};
                    double sdy = 0, sdyx = 0;
                    for (long n = 0; n < t->batch; n++) {
                        const float *xs = x + n * stride + c * spatial;
                        if (!dy) {
                            m = combine(m, moments_of(xs, spatial, ahead));
                            continue;
                        }
                        const float *dys = dy + n * stride + c * spatial;
                        vec hi = all(t->hi[c]), p[2] = {{0}}, q[2] = {{0}};
                        for (long i = 0; i < spatial; i += 2 * LANES)
                            for (int u = 0; u < 2; u++) {
                                long at = i + u * LANES;
                                if (at >= spatial) break;
                                if (ahead) prefetch(xs + at + ahead), prefetch(dys + at + ahead);
                                vec g = load(dys + at);
                                p[u] += g;
                                q[u] += g * (load(xs + at) - hi);
                            }
                        sdy += sum(p[0] + p[1]);
                        sdyx += sum(q[0] + q[1]);
                    }
                    if (dy) fold_gradients(t, c, c, sdy, sdyx);
                    else fold_moments(t, c, c, m);
                }
            } else {
                long channels = c1 - c0;
                memset(a, 0, sizeof(vec) * channels);
                memset(b, 0, sizeof(vec) * channels);
                for (long n = 0; n < t->batch; n++)
                    for (long c = 0; c < channels; c++) {
                        const float *xs = x + n * stride + (c0 + c) * spatial;
                        const float *dys = dy ? dy + n * stride + (c0 + c) * spatial : 0;
                        vec hi = all(dy ? t->hi[c0 + c] : 0), p = {0}, q = {0};
                        for (long i = 0; i < whole; i += LANES) {
                            if (ahead) prefetch(xs + i + ahead);
                            if (ahead && dy) prefetch(dys + i + ahead);
                            vec v = load(xs + i), g = dy ? load(dys + i) : v;
                            p += g;
                            if (dy) q += g * (v - hi);
                        }
                        if (whole < spatial) {
                            vec v = load(xs + whole), g = masked(dy ? load(dys + whole) : v, rest);
                            p += g;
                            if (dy) q += masked(g * (v - hi), rest);
                        }
                        a[c] += p;
                        b[c] += q;
                    }
                double count = (double)t->batch * spatial;
                if (dy) {
                    for (long c = 0; c < channels; c++) fold_gradients(t, c0 + c, c0 + c, sum(a[c]), sum(b[c]));
                } else {
                    for (long c = 0; c < channels; c++) a[c] = all((float)(sum(a[c]) / count));
                    for (long n = 0; n < t->batch; n++)
                        for (long c = 0; c < channels; c++) {
                            const float *xs = x + n * stride + (c0 + c) * spatial;
                            vec q = {0};
                            for (long i = 0; i < whole; i += LANES) {
                                vec v = load(xs + i) - a[c];
                                q += v * v;
                            }
                            if (whole < spatial) {
                                vec v = masked(load(xs + whole) - a[c], rest);
                                q += v * v;
                            }
                            b[c] += q;
                        }
                    for (long c = 0; c < channels; c++)
                        fold_moments(t, c0 + c, c0 + c, (struct moments){count, a[c][0], sum(b[c])});
                }
            }
            long next = t->cut.next && piece + 1 < pieces ? (c1 - c0) * spatial : 0;
            for (long n = t->batch; n-- > 0;) {
                long at = n * stride + c0 * spatial;
                if (dy) apply_planes(t, x + at, dy + at, out + at, c0, c1, next);
                else apply_planes(t, x + at, 0, out + at, c0, c1, next);
            }
        }
        free(a);
        free(b);
    }
}

/* Too few channels, or too large ones, for a thread each: all threads share every channel. */
static void planes_by_part(struct task *t, const float *x, const float *dy, float *out) {
    long spatial = t->spatial, stride = t->channels * spatial;
    long tile = t->cut.piece / 4 / LANES * LANES;
    static struct moments found[THREADS_AT_MOST];
#pragma omp parallel num_threads(t->cut.threads)
    {
        long me = omp_get_thread_num(), many = omp_get_num_threads();
        long vectors = spatial / LANES;
        long from = vectors * me / many * LANES, to = vectors * (me + 1) / many * LANES;
        for (long c = 0; c < t->channels; c++) {
            struct moments m = {0, 0, 0};
            for (long n = 0; n < t->batch; n++)
                for (long i = from; i < to; i += tile) {
                    const float *xs = x + n * stride + c * spatial + i;
                    long count = i + tile < to ? tile : to - i;
                    if (!dy) {
                        m = combine(m, moments_of(xs, count, t->cut.ahead));
                        continue;
                    }
                    const float *dys = dy + n * stride + c * spatial + i;
                    vec hi = all(t->hi[c]), p[2] = {{0}}, q[2] = {{0}};
                    for (long k = 0; k < count; k += LANES) {
                        if (t->cut.ahead) prefetch(xs + k + t->cut.ahead), prefetch(dys + k + t->cut.ahead);
                        vec g = load(dys + k);
                        int u = k / LANES % 2;
                        p[u] += g;
                        q[u] += g * (load(xs + k) - hi);
                    }
                    m.mean += sum(p[0] + p[1]); /* Σdy and Σdy·(x − hi), that is */
                    m.m2 += sum(q[0] + q[1]);
                }
            found[me] = m;
#pragma omp barrier
            if (me == 0) {
                struct moments total = {0, 0, 0};
                for (long k = 0; k < many; k++) {
                    if (dy) total.mean += found[k].mean, total.m2 += found[k].m2;
                    else total = combine(total, found[k]);
                }
                if (dy) fold_gradients(t, c, c, total.mean, total.m2);
                else fold_moments(t, c, c, total);
            }
#pragma omp barrier
            vec hi = all(t->hi[c]), scale = all(t->scale[c]), shift = all(t->shift[c]), slope = all(t->slope[c]);
            for (long n = t->batch; n-- > 0;)
                for (long i = to - LANES; i >= from; i -= LANES) {
                    long at = n * stride + c * spatial + i;
                    vec v = (load(x + at) - hi) * (dy ? slope : scale) + shift;
                    stream(out + at, dy ? load(dy + at) * scale + v : v);
                }
        }
    }
}

static void planes_given(struct task *t, const float *x, float *out) {
    for (long c = 0; c < t->channels; c++) fold_given(t, c, c);
    long units = t->channels / t->unit, all_units = t->batch * units, span = t->unit * t->spatial;
#pragma omp parallel num_threads(t->cut.threads)
    {
        long me = omp_get_thread_num(), many = omp_get_num_threads();
        long to = all_units * (me + 1) / many;
        for (long u = all_units * me / many; u < to; u++) {
            long c = u % units * t->unit;
            apply_planes(t, x + u * span, 0, out + u * span, c, c + t->unit, t->cut.ahead);
        }
    }
}

/* ---- channels-last, and no positions: rows of columns ----------------------------------------------------------------- */

/* The coefficients of channel j % channels, once it is folded at j = channel, for the columns beyond the channels. */
INLINE void repeat(struct task *t, float *values, long from, long to) {
    for (long c = from; c < to; c++)
        for (long j = c + t->channels; j < t->width; j += t->channels) values[j] = values[c];
}

static void fold_rows(struct task *t, long from, long to, int threads, int backward) {
    for (long c = from; c < to; c++) {
        struct moments m = {0, 0, 0};
        for (int k = 0; k < threads; k++)
            for (long j = c; j < t->width; j += t->channels) {
                const double *p = t->partial + (k * t->width + j) * 2;
                double count = (double)(t->rows * (k + 1) / threads - t->rows * k / threads);
                if (backward) m.mean += p[0], m.m2 += p[1];
                else m = combine(m, (struct moments){count, p[0], p[1]});
            }
        if (backward) fold_gradients(t, c, c, m.mean, m.m2);
        else fold_moments(t, c, c, m);
    }
    repeat(t, t->hi, from, to);
    repeat(t, t->lo, from, to);
    repeat(t, t->invstd, from, to);
    repeat(t, t->scale, from, to);
    repeat(t, t->slope, from, to);
    repeat(t, t->shift, from, to);
}

INLINE void apply_row(const struct task *t, const float *x, const float *dy, float *out, long from, long to, long ahead) {
    for (long j = from; j < to; j += LANES) {
        if (ahead) prefetch(x + j + ahead);
        if (ahead && dy) prefetch(dy + j + ahead);
        vec v = (load(x + j) - load(t->hi + j)) * load((dy ? t->slope : t->scale) + j) + load(t->shift + j);
        stream(out + j, dy ? load(dy + j) * load(t->scale + j) + v : v);
    }
}

/* Tiles of rows, all columns: the tensor comes from memory twice, but a tile's second look is from the cache. */
static void rows_by_tile(struct task *t, const float *x, const float *dy, float *out) {
    long width = t->width, tile = t->cut.piece / (width * 4 * (dy ? 2 : 1));
    tile = tile < 4 ? 4 : tile;
#pragma omp parallel num_threads(t->cut.threads)
    {
        long me = omp_get_thread_num(), many = omp_get_num_threads();
        long from = t->rows * me / many, to = t->rows * (me + 1) / many;
        double *partial = t->partial + me * width * 2;
        memset(partial, 0, sizeof(double) * 2 * width);
        float *a = room(sizeof(float) * width), *b = room(sizeof(float) * width);
        long ahead = t->cut.ahead;
        for (long r0 = from; r0 < to; r0 += tile) {
            long r1 = r0 + tile < to ? r0 + tile : to;
            memset(a, 0, sizeof(float) * width);
            memset(b, 0, sizeof(float) * width);
            /* Strips as wide as four vectors stay in registers; where rows are wider, several rows are added before the
               sums go back to the cache. */
            for (long r = r0; r < r1;) {
                long step = width <= 4 * LANES ? r1 - r : r + 4 <= r1 ? 4 : 1;
                for (long j = 0; j < width; j += LANES) {
                    vec p = load(a + j), q = load(b + j), p2 = {0}, q2 = {0};
                    vec hi = dy ? load(t->hi + j) : all(0);
                    const float *xs = x + r * width + j, *dys = dy ? dy + r * width + j : xs;
                    for (long k = 0; k + 1 < step; k += 2) {
                        vec g = load(dys + k * width), g2 = load(dys + (k + 1) * width);
                        if (ahead) prefetch(xs + k * width + ahead), prefetch(xs + (k + 1) * width + ahead);
                        if (ahead && dy) prefetch(dys + k * width + ahead), prefetch(dys + (k + 1) * width + ahead);
                        p += g, p2 += g2;
                        if (dy) q += g * (load(xs + k * width) - hi), q2 += g2 * (load(xs + (k + 1) * width) - hi);
                    }
                    if (step % 2) {
                        vec g = load(dys + (step - 1) * width);
                        p += g;
                        if (dy) q += g * (load(xs + (step - 1) * width) - hi);
                    }
                    *(loose *)(a + j) = p + p2;
                    if (dy) *(loose *)(b + j) = q + q2;
                }
                r += step;
            }
            if (dy) {
                for (long j = 0; j < width; j++) partial[2 * j] += a[j], partial[2 * j + 1] += b[j];
                continue;
            }
            vec share = all(1.0f / (r1 - r0));
            for (long j = 0; j < width; j += LANES) *(loose *)(a + j) = load(a + j) * share;
            for (long r = r0; r < r1;) {
                long step = width <= 4 * LANES ? r1 - r : r + 4 <= r1 ? 4 : 1;
                for (long j = 0; j < width; j += LANES) {
                    vec mean = load(a + j), q = load(b + j), q2 = {0};
                    const float *xs = x + r * width + j;
                    for (long k = 0; k + 1 < step; k += 2) {
                        vec v = load(xs + k * width) - mean, w = load(xs + (k + 1) * width) - mean;
                        q += v * v, q2 += w * w;
                    }
                    if (step % 2) {
                        vec v = load(xs + (step - 1) * width) - mean;
                        q += v * v;
                    }
                    *(loose *)(b + j) = q + q2;
                }
                r += step;
            }
            double before = (double)(r0 - from), count = (double)(r1 - r0), total = before + count;
            double weight = count / total, cross = before * weight;
            for (long j = 0; j < width; j++) {
                double delta = a[j] - partial[2 * j];
                partial[2 * j] += delta * weight;
                partial[2 * j + 1] += b[j] + delta * delta * cross;
            }
        }
        free(a);
        free(b);
#pragma omp barrier
        fold_rows(t, t->channels * me / many, t->channels * (me + 1) / many, (int)many, dy != 0);
#pragma omp barrier
        for (long r = to; r-- > from;) {
            if (dy) apply_row(t, x + r * width, dy + r * width, out + r * width, 0, width, t->cut.next ? -8 * LANES * LANES : 0);
            else apply_row(t, x + r * width, 0, out + r * width, 0, width, t->cut.next ? -8 * LANES * LANES : 0);
        }
    }
}

/* All rows of a stripe of columns: from memory once, where a stripe fits the second cache. */
INLINE void stripe(struct task *t, const float *x, const float *dy, float *out, long j0, int vectors) {
    vec p[4][2] = {{{0}}}, q[4][2] = {{{0}}}, hi[4];
    long width = t->width, rows = t->rows, even = rows / 2 * 2, ahead = t->cut.ahead * width;
    for (int i = 0; i < vectors; i++) hi[i] = dy ? load(t->hi + j0 + i * LANES) : all(0);
    for (long r = 0; r < rows; r += 2)
        for (int u = 0; u < 2 && (u == 0 || r < even); u++)
            for (int i = 0; i < vectors; i++) {
                const float *xs = x + (r + u) * width + j0 + i * LANES, *dys = dy ? dy + (r + u) * width + j0 + i * LANES : xs;
                if (ahead) prefetch(xs + ahead);
                if (ahead && dy) prefetch(dys + ahead);
                vec g = load(dys);
                p[i][u] += g;
                if (dy) q[i][u] += g * (load(xs) - hi[i]);
            }
    if (!dy) {
        for (int i = 0; i < vectors; i++) hi[i] = (p[i][0] + p[i][1]) / (float)rows;
        for (long r = 0; r < rows; r += 2)
            for (int u = 0; u < 2 && (u == 0 || r < even); u++)
                for (int i = 0; i < vectors; i++) {
                    vec v = load(x + (r + u) * width + j0 + i * LANES) - hi[i];
                    q[i][u] += v * v;
                }
    }
    for (int i = 0; i < vectors; i++) {
        vec first = dy ? p[i][0] + p[i][1] : hi[i], second = q[i][0] + q[i][1];
        for (int k = 0; k < LANES; k++) {
            long j = j0 + i * LANES + k;
            if (dy) fold_gradients(t, j, j, first[k], second[k]);
            else fold_moments(t, j, j, (struct moments){(double)rows, first[k], second[k]});
        }
    }
    vec scale[4], slope[4], shift[4];
    for (int i = 0; i < vectors; i++) {
        long j = j0 + i * LANES;
        hi[i] = load(t->hi + j), scale[i] = load(t->scale + j), slope[i] = load(t->slope + j), shift[i] = load(t->shift + j);
    }
    long next = t->cut.next ? vectors * LANES : 0;
    for (long r = rows; r-- > 0;)
        for (int i = 0; i < vectors; i++) {
            long at = r * width + j0 + i * LANES;
            if (next) prefetch_later(x + at + next);
            if (next && dy) prefetch_later(dy + at + next);
            vec v = (load(x + at) - hi[i]) * (dy ? slope[i] : scale[i]) + shift[i];
            stream(out + at, dy ? load(dy + at) * scale[i] + v : v);
        }
}

static void rows_by_stripe(struct task *t, const float *x, const float *dy, float *out) {
    int vectors = (int)t->cut.piece;
    long stripes = t->width / (vectors * LANES);
#pragma omp parallel num_threads(t->cut.threads)
    {
        long me = omp_get_thread_num(), many = omp_get_num_threads();
        for (long s = stripes * me / many; s < stripes * (me + 1) / many; s++) {
            long j = s * vectors * LANES;
            if (vectors == 1 && !dy) stripe(t, x, 0, out, j, 1);
            else if (vectors == 2 && !dy) stripe(t, x, 0, out, j, 2);
            else if (!dy) stripe(t, x, 0, out, j, 4);
            else if (vectors == 1) stripe(t, x, dy, out, j, 1);
            else if (vectors == 2) stripe(t, x, dy, out, j, 2);
            else stripe(t, x, dy, out, j, 4);
        }
    }
}

static void rows_given(struct task *t, const float *x, float *out) {
    for (long c = 0; c < t->channels; c++) fold_given(t, c, c);
    repeat(t, t->hi, 0, t->channels);
    repeat(t, t->scale, 0, t->channels);
    repeat(t, t->shift, 0, t->channels);
#pragma omp parallel num_threads(t->cut.threads)
    {
        long me = omp_get_thread_num(), many = omp_get_num_threads();
        for (long r = t->rows * me / many; r < t->rows * (me + 1) / many; r++)
            apply_row(t, x + r * t->width, 0, out + r * t->width, 0, t->width, t->cut.ahead);
    }
}

/* ---- tasks ------------------------------------------------------------------------------------------------------------ */

static const float *input(const struct task *t, long set, int i) { return inputs + (set * t->inputs + i) * t->padded; }
static float *output(const struct task *t, long set) { return outputs + set * t->outputs * t->padded; }

static void copy(const struct task *t, long set) {
    const float *from = input(t, set, 0);
    float *to = output(t, set);
    long vectors = t->padded / LANES;
#pragma omp parallel
    {
        long me = omp_get_thread_num(), many = omp_get_num_threads();
        long end = vectors * (me + 1) / many * LANES;
        for (long i = vectors * me / many * LANES; i < end; i += LANES) stream(to + i, load(from + i));
    }
}

static void run(struct task *t, long set) {
    const float *x = input(t, set, 0), *dy = t->direction == BACKWARD ? input(t, set, 1) : 0;
    float *out = output(t, set);
    if (t->direction == COPY) copy(t, set);
    else if (t->direction == INFERENCE) (t->planes ? planes_given : rows_given)(t, x, out);
    else if (t->planes) (t->cut.stripes ? planes_by_part : planes_by_run)(t, x, dy, out);
    else (t->cut.stripes ? rows_by_stripe : rows_by_tile)(t, x, dy, out);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

/* Tries one way to cut a task, and keeps it where it is quicker than what came before. */
static void try(struct task *t, struct cut cut, struct cut *best, double *least, long *next) {
    t->cut = cut;
    double seconds = 1e9;
    for (double start = now(); seconds == 1e9 || now() - start < 0.02;) {
        double from = now();
        for (int i = 0; i < 3; i++) run(t, (*next)++ % t->sets);
        double took = now() - from;
        seconds = took < seconds ? took : seconds;
    }
    if (seconds < *least) *least = seconds, *best = cut;
}

static void choose(struct task *t) {
    static const long pieces[] = {64 << 10, 128 << 10, 256 << 10, 416 << 10, 832 << 10};
    static const long tiles[] = {16 << 10, 32 << 10, 128 << 10, 256 << 10};
    static const long aheads[] = {0, 512, 2048};
    int most = omp_get_max_threads();
    struct cut best = {0};
    double least = 1e9;
    long next = 0;
    for (int threads = most; threads >= 1; threads = threads > 1 ? (t->elements < 1 << 17 ? 1 : 0) : 0) {
        for (int a = 0; a < 3; a++) {
            if (t->direction == INFERENCE) {
                try(t, (struct cut){0, 0, aheads[a], 0, threads}, &best, &least, &next);
                continue;
            }
            for (int more = 0; more < 2; more++) {
                if (t->planes) {
                    long group = t->batch * t->spatial * 4 * t->unit;
                    int few = t->channels / t->unit < threads || group > 2 << 20;
                    if (few && t->unit == 1 && !more)
                        for (int p = 0; p < 3; p++) try(t, (struct cut){1, tiles[p], aheads[a], 0, threads}, &best, &least, &next);
                    for (int p = 0; p < 5 && !few; p++)
                        if (p == 0 || pieces[p] >= group)
                            try(t, (struct cut){0, pieces[p], aheads[a] == 2048 ? -1 : aheads[a], more, threads}, &best, &least, &next);
                } else {
                    for (int p = 0; p < 4; p++)
                        try(t, (struct cut){0, tiles[p], aheads[a], more, threads}, &best, &least, &next);
                    for (long v = 1; v <= 4; v *= 2)
                        if (t->width == t->channels && t->width % (v * LANES) == 0 && t->rows * v * LANES * 4 <= 2 << 20)
                            try(t, (struct cut){1, v, aheads[a] / 128, more, threads}, &best, &least, &next);
                }
            }
        }
    }
    t->cut = best;
}

static struct task *prepare(char *direction, char *form, long batch, long channels, long spatial) {
    struct task *t = room(sizeof(struct task));
    while (t->direction < COPY && strcmp(direction, directions[t->direction])) t->direction++;
    t->planes = strcmp(form, "CHANNELS_FIRST") == 0 && spatial > 1;
    t->batch = batch, t->channels = channels, t->spatial = spatial;
    t->elements = batch * channels * spatial;
    if (t->planes) {
        t->unit = LANES / gcd(spatial, LANES);
        if (channels % t->unit) return 0;
        t->lines = t->unit * spatial / LANES;
        t->which = room(sizeof(ivec) * t->lines);
        for (long i = 0; i < t->lines * LANES; i++) t->which[i / LANES][i % LANES] = (int)(i / spatial);
    } else {
        long together = 4 * LANES / gcd(channels, 4 * LANES); /* so many rows are one that fills four vectors */
        if (batch * spatial % together) together = LANES / gcd(channels, LANES);
        if (batch * spatial % together) return 0;
        t->width = channels * together;
        t->rows = batch * spatial / together;
        t->partial = room(sizeof(double) * 2 * t->width * THREADS_AT_MOST);
    }
    size_t bytes = sizeof(float) * ((t->planes ? channels : t->width) + LANES);
    float **vectors[] = {&t->gamma, &t->beta, &t->running_mean, &t->running_variance, &t->dgamma, &t->dbeta,
                         &t->hi, &t->lo, &t->invstd, &t->scale, &t->slope, &t->shift};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) *vectors[i] = room(bytes);
    for (long c = 0; c < channels; c++) {
        t->gamma[c] = 0.5f + c % 7 * 0.25f;
        t->beta[c] = c % 5 * 0.2f - 0.4f;
        t->running_mean[c] = c % 3 * 0.1f;
        t->running_variance[c] = 1 + c % 4 * 0.5f;
    }
    return t;
}

int main(int argc, char **argv) {
    static struct task *tasks[1024];
    int count = 0;
    char line[256], direction[32], form[32];
    if (argc != 3) {
        fprintf(stderr, "usage: limits PATTERN ELEMENTS\n");
        return 1;
    }
    /* The inputs are the pattern over and over, as everybody's are. */
    FILE *file = fopen(argv[1], "rb");
    long elements = atol(argv[2]), size = file ? (fseek(file, 0, SEEK_END), ftell(file) / 4) : 0;
    inputs = room(4 * (elements + (1 << 16)));
    outputs = room(4 * (elements + (1 << 16)));
    if (size < 1 || elements < size || (rewind(file), fread(inputs, 4, size, file)) != (size_t)size) {
        fprintf(stderr, "limits: cannot read floats from %s\n", argv[1]);
        return 1;
    }
    for (long at = size; at < elements; at++) inputs[at] = inputs[at - size];
    while (fgets(line, sizeof line, stdin)) {
        long id, first, times, b, c, s, in, out, padded, sets;
        if (sscanf(line, "prepare %31s %31s %ld %ld %ld %ld %ld %ld %ld", direction, form, &b, &c, &s, &in, &out, &padded, &sets) == 9) {
            struct task *t = count < 1024 ? prepare(direction, form, b, c, s) : 0;
            if (!t) {
                printf("cannot\n");
            } else {
                t->inputs = in, t->outputs = out, t->padded = padded, t->sets = sets;
                if (t->direction == BACKWARD) { /* all sets go by the statistics of the first */
                    t->direction = FORWARD;
                    choose(t);
                    run(t, 0);
                    t->direction = BACKWARD;
                }
                if (t->direction != COPY) choose(t);
                tasks[count] = t;
                printf("ready %d %s of %ld, %ld ahead, next %d, %d threads\n", count, t->cut.stripes ? "stripes" : "pieces", t->cut.piece,
                       t->cut.ahead, t->cut.next, t->cut.threads);
                count++;
            }
        } else if (sscanf(line, "run %ld %ld %ld", &id, &first, &times) == 3 && id >= 0 && id < count) {
            double start = now();
            for (long i = 0; i < times; i++) run(tasks[id], (first + i) % tasks[id]->sets);
            printf("done %.9f\n", now() - start);
        } else if (sscanf(line, "result %ld", &id) == 1 && id >= 0 && id < count) {
            fwrite(output(tasks[id], 0), 4, tasks[id]->elements, stdout);
        } else {
            fprintf(stderr, "limits: what is '%s'?\n", line);
            return 1;
        }
        fflush(stdout);
    }
    return 0;
}
