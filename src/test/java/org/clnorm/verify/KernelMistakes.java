package org.clnorm.verify;

import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.clnorm.DataType;
import org.clnorm.Layout;
import org.clnorm.NonFinitePolicy;
import org.clnorm.RunningAverage;
import org.clnorm.RunningVariance;
import org.clnorm.backend.Grouping;
import org.clnorm.backend.Normalization.Statistic;
import org.clnorm.verify.VerifierCase.Affine;
import org.clnorm.verify.VerifierCase.Data;
import org.clnorm.verify.VerifierCase.Fusion;
import org.clnorm.verify.VerifierCase.InPlace;

/**
 * Mistakes as people make them in kernels of normalization, one at a time in this project's own. None makes an access
 * outside of the memory that a case has: that could end the process instead of failing a check.
 */
final class KernelMistakes {
    private static final String CPU = "cpu-split";
    private static final String CPU_FUSED = "cpu-fused";
    private static final String GPU = "gpu-split";
    private static final String GPU_FUSED = "gpu-fused";
    private static final String GPU_CACHED = "gpu-cached";

    /** Of each kind some, which every run of the tests tries. */
    static final List<KernelMistake> FEW = List.of(
            new KernelMistake(
                    "ε outside of the root",
                    "fold_moments.cl",
                    "vec norm = inverse_root(spread);",
                    "vec norm = (vec)(1.0f) / (sqrt(in_power) + FOLD(times_power)(epsilon, power));",
                    CPU,
                    c -> runs(c) && c.data() == Data.NORMAL),
            new KernelMistake(
                    "the running variance is the biased one",
                    "fold_moments.cl",
                    "    variance *= (fold_vec)(a.variance_factor);\n",
                    "",
                    CPU,
                    c -> averages(c) && c.estimate() == RunningVariance.UNBIASED && c.valuesPerChannel() < 1000),
            new KernelMistake(
                    "weight norm by the mean square, not by the length",
                    "fold_moments.cl",
                    "f.statistic == LENGTH ? f.count : 1.0f",
                    "1.0f",
                    CPU,
                    c -> isRows(c) && c.normalization().statistic() == Statistic.LENGTH),
            new KernelMistake(
                    "dβ dropped",
                    "fold_gradients.cl",
                    "store_gradient(u.dbeta, group, valid, dy, u.accumulate);",
                    "",
                    CPU,
                    c -> runs(c) && c.affine().beta && !c.mode().accumulates),
            new KernelMistake(
                    "gradients of γ and β replaced where they are to be added",
                    "fold_gradients.cl",
                    "store_first(accumulate ? take(to, group, valid, 0.0f) + value : value, valid, to + group);",
                    "store_first(value, valid, to + group);",
                    CPU,
                    c -> runs(c) && c.affine() == Affine.BOTH && c.mode().accumulates),
            new KernelMistake(
                    "dx without the mean of dy",
                    "fold_gradients.cl",
                    "fold_vec by_1 = -scaled_dy / (fold_vec)(u.count);",
                    "fold_vec by_1 = (fold_vec)(0.0f);",
                    CPU,
                    c -> runs(c)),
            new KernelMistake(
                    "frozen statistics differentiated as the batch's own",
                    "pointwise_template.clh",
                    "if (frozen) {",
                    "if (0) {",
                    CPU,
                    c -> c.isPlain()
                            && !c.mode().training
                            && c.affine().gamma
                            && !c.fusion().isMasked()),
            new KernelMistake(
                    "ReLU's mask inverted",
                    "pointwise_template.clh",
                    "return v <= (TYPE)(0.0f) ? (TYPE)(0.0f) : dy;",
                    "return v <= (TYPE)(0.0f) ? dy : (TYPE)(0.0f);",
                    CPU,
                    c -> runs(c) && c.fusion() == Fusion.RELU),
            new KernelMistake(
                    "the residual ignored",
                    "apply.cl",
                    "        v += load_as(RES, a.residual + at);\n    }\n    v = vector_activated",
                    "    }\n    v = vector_activated",
                    CPU,
                    c -> c.isPlain()
                            && c.mode().training
                            && c.fusion() == Fusion.RESIDUAL
                            && c.layout() == Layout.CHANNELS_FIRST
                            && c.shape().spatial() > 16),
            new KernelMistake(
                    "the gradient that came past dropped",
                    "gradient_apply.cl",
                    "{ return a.past ? dx + load_as(PAST, a.past + at) : dx; }",
                    "{ return dx; }",
                    CPU,
                    c -> c.isPlain() && c.fusion() == Fusion.PAST),
            new KernelMistake(
                    "an element after y written",
                    "apply.cl",
                    "store_first_as(Y, forward_result(a, in, c), valid, a.y + at);",
                    "store_first_as(Y, forward_result(a, in, c), valid + 1, a.y + at);",
                    CPU,
                    c -> columns(c) && c.elements() % 2 != 0),
            new KernelMistake(
                    "a barrier of the tree of columns removed",
                    "trees.clh",
                    "room[slot + 3 * (WG / 2)] = (vec)(mine[b].n);\n            }\n            barrier(CLK_LOCAL_MEM_FENCE);",
                    "room[slot + 3 * (WG / 2)] = (vec)(mine[b].n);\n            }",
                    GPU,
                    c -> columns(c) && c.valuesPerChannel() > 50),
            new KernelMistake(
                    "Adam's second moment without bias correction",
                    "optimizer.cl",
                    "step = m / fma(sqrt(v), (vec)(root), (vec)(epsilon));",
                    "step = m / (sqrt(v) + (vec)(epsilon));",
                    CPU,
                    c -> isUsual(c) && c.elements() > 300 && optimizer(c) == 2));

    private static final List<KernelMistake> MORE = List.of(
            new KernelMistake(
                    "moments around 0, as E[x²] − E[x]²",
                    "statistics.clh",
                    "to->hi = sum_of_tile(x) * (vec)(1.0f / TILE);",
                    "to->hi = (vec)(0.0f);",
                    CPU,
                    c -> runs(c) && c.data().mean >= 1e4 && c.shape().spatial() > 250),
            new KernelMistake(
                    "M2 without what the mean was off by",
                    "statistics.clh",
                    "fma(-rest, step, to->squares)",
                    "to->squares",
                    CPU,
                    c -> runs(c) && c.shape().spatial() > 250),
            new KernelMistake(
                    "the mean without its low part",
                    "numbers_template.clh",
                    "INLINE void POINTWISE(two_sum)(TYPE a, TYPE b, TYPE *hi, TYPE *lo) {\n    TYPE s = a + b;\n    TYPE bb = s - a;\n    *lo = (a - (s - bb)) + (b - bb);",
                    "INLINE void POINTWISE(two_sum)(TYPE a, TYPE b, TYPE *hi, TYPE *lo) {\n    TYPE s = a + b;\n    *lo = (TYPE)(0.0f);",
                    CPU,
                    c -> runs(c) && c.data().mean >= 1e4 && c.shape().spatial() > 50),
            new KernelMistake(
                    "joined lanes without the distance of their means",
                    "statistics.clh",
                    "all.m2 = fma(lanes.n, sum_lanes(d * d), sum_lanes(lanes_of(lanes.m2 + lanes.m2_lo, meant)));",
                    "all.m2 = sum_lanes(lanes_of(lanes.m2 + lanes.m2_lo, meant));",
                    CPU,
                    c -> runs(c) && c.shape().spatial() > 50),
            new KernelMistake(
                    "Chan's formula with n of the other part",
                    "statistics.clh",
                    "c.m2 = fma(delta * delta, a.n * share, a.m2 + b.m2);",
                    "c.m2 = fma(delta * delta, b.n * share, a.m2 + b.m2);",
                    GPU,
                    c -> runs(c) && c.shape().spatial() > 50),
            new KernelMistake(
                    "the last slice left out of the moments",
                    "fold_moments.cl",
                    "for (int slice = ITEM_Y; slice < slices && group < groups; slice += WY) {\n        __global const float *partial = partials + (long)slice * PARTIAL_ROWS * pitch;",
                    "for (int slice = ITEM_Y; slice < max(slices - 1, 1) && group < groups; slice += WY) {\n        __global const float *partial = partials + (long)slice * PARTIAL_ROWS * pitch;",
                    CPU,
                    c -> columns(c) && c.valuesPerChannel() > 1000),
            new KernelMistake(
                    "the last slice left out of the gradient sums",
                    "fold_gradients.cl",
                    "for (int slice = ITEM_Y; slice < slices && group < groups; slice += WY) {",
                    "for (int slice = ITEM_Y; slice < max(slices - 1, 1) && group < groups; slice += WY) {",
                    CPU,
                    c -> columns(c) && c.valuesPerChannel() > 1000 && c.affine() != Affine.NONE),
            new KernelMistake(
                    "segments a wrong stride apart",
                    "groups.clh",
                    "r.stride = segment_stride;",
                    "r.stride = length;",
                    CPU,
                    c -> runs(c) && c.shape().batch() > 1),
            new KernelMistake(
                    "an edge of less than a vector left out of the moments",
                    "moments.cl",
                    "return WG == 1 && r.length % VW > 0 ? join(all, across_edge(edge, r.length)) : all;",
                    "return all;",
                    CPU,
                    c -> runs(c) && c.shape().spatial() > 50),
            new KernelMistake(
                    "an edge of less than a vector left out of the gradient sums",
                    "gradient_sums.cl",
                    "        all.dy += more.dy;\n",
                    "",
                    CPU,
                    c -> runs(c) && c.shape().spatial() > 50 && c.affine().beta),
            new KernelMistake(
                    "ε dropped",
                    "fold_moments.cl",
                    "spread += FOLD(times_power)(FOLD(times_power)(epsilon, power), power);",
                    "",
                    CPU,
                    c -> runs(c) && c.data() == Data.NORMAL),
            new KernelMistake(
                    "the variance saved for 1/σ",
                    "fold_moments.cl",
                    "vec rest_rows[] = {invstd,",
                    "vec rest_rows[] = {variance,",
                    CPU,
                    c -> runs(c)),
            new KernelMistake(
                    "the mean saved in units",
                    "fold_moments.cl",
                    "vec mean_rows[] = {true_mean,",
                    "vec mean_rows[] = {mean,",
                    CPU,
                    c -> runs(c)),
            new KernelMistake(
                    "β of the vector of channels before",
                    "fold_moments.cl",
                    "vec shift = take(f.beta, group, valid, 0.0f);",
                    "vec shift = take(f.beta, max(group - VW, 0), valid, 0.0f);",
                    CPU,
                    c -> columns(c) && c.affine().beta && c.channels() > 32),
            new KernelMistake(
                    "γ of the vector of channels before",
                    "fold_moments.cl",
                    "vec gamma = take(f.gamma, group, valid, 1.0f);",
                    "vec gamma = take(f.gamma, max(group - VW, 0), valid, 1.0f);",
                    CPU,
                    c -> columns(c) && c.affine().gamma && c.channels() > 32),
            new KernelMistake(
                    "γ read only where β is there too",
                    "fold_moments.cl",
                    "    f.gamma = gamma ? gamma + affine_start : 0;",
                    "    f.gamma = gamma && beta ? gamma + affine_start : 0;",
                    CPU,
                    c -> runs(c) && c.affine() == Affine.GAMMA),
            new KernelMistake(
                    "the coefficients of few channels not repeated",
                    "folds.clh",
                    "for (int at = group + i; at < groups + WRAP; at += groups) {",
                    "for (int at = group + i; at < groups; at += groups) {",
                    CPU,
                    c -> columns(c) && c.channels() == 3),
            new KernelMistake(
                    "the running average's weights swapped",
                    "fold_moments.cl",
                    "fma(w, batch_mean, rest_of(old_mean, w))",
                    "fma(w, old_mean, rest_of(batch_mean, w))",
                    CPU,
                    c -> averages(c) && c.average().newBatchWeight() == 0.1),
            new KernelMistake(
                    "the cumulative average counts from 0",
                    "fold_moments.cl",
                    "w = (fold_vec)(1.0f) / batches;",
                    "w = (fold_vec)(1.0f) / max(old_batches, (fold_vec)(1.0f));",
                    CPU,
                    c -> averages(c) && c.average().kind() == RunningAverage.Kind.CUMULATIVE),
            new KernelMistake(
                    "the bias-corrected average is not corrected",
                    "fold_moments.cl",
                    "fold_vec corrected = (fold_vec)(a.weight) / -expm1(batches * (fold_vec)(a.log_rest));",
                    "fold_vec corrected = (fold_vec)(a.weight);",
                    CPU,
                    c -> averages(c) && c.average().kind() == RunningAverage.Kind.BIAS_CORRECTED_EXPONENTIAL),
            new KernelMistake(
                    "a batch that is not finite enters the running statistics",
                    "fold_moments.cl",
                    "if (a.skip_non_finite) {",
                    "if (0) {",
                    CPU,
                    c -> c.isPlain()
                            && c.data() == Data.NON_FINITE
                            && c.mode().training
                            && c.policy() == NonFinitePolicy.SKIP_RUNNING_UPDATE
                            && c.average().isTracked()),
            new KernelMistake(
                    "the batches are not counted",
                    "fold_moments.cl",
                    "fold_store_first(batches, valid, a.absorbed + group);",
                    "",
                    CPU,
                    c -> averages(c)),
            new KernelMistake(
                    "RMS norm by the variance",
                    "fold_moments.cl",
                    "        variance = fma(mean, mean, fma((fold_vec)(2.0f) * mean, rest, variance));\n",
                    "",
                    CPU,
                    c -> isRows(c)
                            && c.normalization().statistic() == Statistic.ROOT_MEAN_SQUARE
                            && !c.fusion().isMasked()),
            new KernelMistake(
                    "RMS norm's gradient centred",
                    "fold_gradients.cl",
                    "        by_1 = (fold_vec)(0.0f);\n",
                    "",
                    CPU,
                    c -> isRows(c)
                            && c.normalization().statistic() == Statistic.ROOT_MEAN_SQUARE
                            && !c.fusion().isMasked()),
            new KernelMistake(
                    "a row shorter than ε divided by its length",
                    "fold_moments.cl",
                    "norm = norm > most ? most : norm;",
                    "",
                    CPU,
                    c -> isRows(c) && c.normalization().statistic() == Statistic.LENGTH && c.epsilon() > 0),
            new KernelMistake(
                    "renormalization's r and d swapped for dγ",
                    "fold_moments.cl",
                    "vec renorm[] = {r, d};",
                    "vec renorm[] = {d, r};",
                    CPU,
                    c -> c.normalization().renormalization() != null
                            && c.affine().gamma
                            && !c.fusion().isMasked()),
            new KernelMistake(
                    "renormalization's d not bounded",
                    "fold_moments.cl",
                    "d = within(d, -f.d_max, f.d_max);",
                    "",
                    CPU,
                    c -> c.normalization().renormalization() != null
                            && !c.fusion().isMasked()),
            new KernelMistake(
                    "renormalization's r left out of the scale",
                    "fold_moments.cl",
                    "scale *= r;",
                    "",
                    CPU,
                    c -> c.normalization().renormalization() != null
                            && !c.fusion().isMasked()),
            new KernelMistake(
                    "all virtual batches by the first one's numbers",
                    "groups.clh",
                    "#define OF_BLOCK(row) ((row) + (long)block * (groups + WRAP))",
                    "#define OF_BLOCK(row) ((row) + (long)0 * (groups + WRAP))",
                    CPU,
                    c -> isVirtual(c)),
            new KernelMistake(
                    "the last virtual batch with the others' number of values",
                    "folds.clh",
                    "block == blocks - 1 ? last_count : count)",
                    "count)",
                    CPU,
                    c -> isVirtual(c)),
            new KernelMistake(
                    "parts of dγ of the last virtual batch left out",
                    "fold_gradients.cl",
                    "for (int part = 0; part < parts; part++) {",
                    "for (int part = 0; part < parts - 1; part++) {",
                    CPU,
                    c -> isVirtual(c) && c.affine().gamma),
            new KernelMistake(
                    "group norm's groups begin a channel early",
                    "folds.clh",
                    "(int)(get_group_id(0) % per_block) * joined",
                    "max((int)(get_group_id(0) % per_block) * joined - 1, 0)",
                    CPU,
                    c -> c.normalization().grouping() instanceof Grouping.Channels run
                            && run.groups() > 1
                            && run.groups() < c.channels()
                            && !c.fusion().isMasked()),
            new KernelMistake(
                    "row norm's β taken for γ",
                    "pointwise.clh",
                    "c.gamma = load_first(p.gamma + at,",
                    "c.gamma = load_first(p.beta + at,",
                    CPU,
                    c -> isRows(c)
                            && c.affine() == Affine.BOTH
                            && !c.fusion().isMasked()
                            && c.normalization().statistic() == Statistic.CENTERED),
            new KernelMistake(
                    "row norm's dγ without the shift to the mean",
                    "row_gradients.cl",
                    "to->dyx = fma(dy, vector_standardized(x, cs), to->dyx);",
                    "to->dyx = fma(dy, vector_deviation(x, cs), to->dyx);",
                    CPU,
                    c -> isRows(c)
                            && c.affine() == Affine.BOTH
                            && !c.fusion().isMasked()
                            && c.normalization().statistic() == Statistic.CENTERED),
            new KernelMistake(
                    "dγ without 1/σ",
                    "fold_gradients.cl",
                    "vec dgamma = dyx * norm;",
                    "vec dgamma = dyx;",
                    CPU,
                    c -> runs(c) && c.affine().gamma),
            new KernelMistake(
                    "dx without what the rest of the mean does",
                    "fold_gradients.cl",
                    "by_1 = select(by_1, fma(-by_x, lo, by_1), isfinite(by_x));",
                    "",
                    CPU,
                    c -> runs(c) && c.data().mean >= 1e4),
            new KernelMistake(
                    "ReLU takes a negative's magnitude",
                    "pointwise_template.clh",
                    "v = v <= (TYPE)(0.0f) ? (TYPE)(0.0f) : v;",
                    "v = v <= (TYPE)(0.0f) ? -v : v;",
                    CPU,
                    c -> runs(c) && c.fusion() == Fusion.RELU),
            new KernelMistake(
                    "leaky ReLU's gradient without its slope",
                    "activation_template.clh",
                    "return y > none ? one : (TYPE)(slope);",
                    "return y > none ? one : none;",
                    CPU,
                    c -> c.fusion() == Fusion.LEAKY_RELU && c.inPlace() == InPlace.NOTHING),
            new KernelMistake(
                    "the residual's gradient not masked",
                    "gradient_apply.cl",
                    "        if (a.dresidual) {\n            store_if_aligned_as(DRES, dy, a.dresidual + at);\n        }\n    } else {",
                    "        if (a.dresidual) {\n            store_if_aligned_as(DRES, in.dy, a.dresidual + at);\n        }\n    } else {",
                    CPU,
                    c -> c.isPlain()
                            && c.mode().training
                            && c.fusion() == Fusion.RESIDUAL_RELU
                            && c.layout() == Layout.CHANNELS_FIRST
                            && c.shape().spatial() > 16),
            new KernelMistake(
                    "the last elements of a run not written",
                    "sweep_template.clh",
                    "    for (; at < end; at++) {\n        APPLY(element)(a, at, c);\n    }\n}",
                    "}",
                    CPU,
                    c -> runs(c) && c.shape().spatial() > 16 && c.shape().spatial() % 16 != 0),
            new KernelMistake(
                    "coefficients of the wrong column at the end of a row",
                    "sweep_template.clh",
                    "        APPLY(vector)(a, at, cs, WG == 1);\n        column += advance;\n        column -= column >= groups ? groups : 0;",
                    "        APPLY(vector)(a, at, cs, WG == 1);\n        column += advance;\n        column = column >= groups ? 0 : column;",
                    CPU,
                    c -> columns(c) && c.channels() % 16 != 0 && c.channels() > 16),
            new KernelMistake(
                    "masked steps counted in the mean",
                    "moments.cl",
                    "vec d = lanes_of(x[i] - to->hi, keep[i]);",
                    "vec d = x[i] - to->hi;",
                    CPU,
                    c -> c.isPlain() && c.fusion() == Fusion.MASKED && c.mode().training),
            new KernelMistake(
                    "steps that are to stay as they are set to 0",
                    "sweep_template.clh",
                    "        } else if (state == STEP_ZERO) {\n            APPLY(blank)(a, at + i);",
                    "        } else {\n            APPLY(blank)(a, at + i);",
                    CPU,
                    c -> c.isPlain()
                            && c.fusion() == Fusion.MASKED
                            && c.layout() == Layout.CHANNELS_FIRST
                            && c.shape().spatial() > 1),
            new KernelMistake(
                    "bfloat16 truncated",
                    "storage.clh",
                    "uvec rounded = (bits + (uvec)(0x7fff) + ((bits >> (uvec)(16)) & (uvec)(1))) >> (uvec)(16);",
                    "uvec rounded = bits >> (uvec)(16);",
                    CPU,
                    c -> runs(c) && c.type() == DataType.BFLOAT16 && c.shape().spatial() > 16),
            new KernelMistake(
                    "a barrier of the tree of moments removed",
                    "trees.clh",
                    "        put_moments(mine, item, room);\n        barrier(CLK_LOCAL_MEM_FENCE);",
                    "        put_moments(mine, item, room);",
                    GPU,
                    c -> runs(c) && c.shape().spatial() > 50),
            new KernelMistake(
                    "a barrier of the tree of gradient sums removed",
                    "trees.clh",
                    "room[slot + WG / 2] = mine[b].dyx;\n            }\n            barrier(CLK_LOCAL_MEM_FENCE);",
                    "room[slot + WG / 2] = mine[b].dyx;\n            }",
                    GPU,
                    c -> columns(c) && c.valuesPerChannel() > 50),
            new KernelMistake(
                    "every other level of the tree of columns taken",
                    "trees.clh",
                    "for (; reach < WY; reach *= 2) {\n            int place = ITEM_Y & (2 * reach - 1);\n            int slot = (ITEM_Y - place) / 2 * WX + ITEM_X;\n            if (place == reach) {\n                room[slot] = mine[b].hi;",
                    "for (; reach < WY; reach *= 4) {\n            int place = ITEM_Y & (2 * reach - 1);\n            int slot = (ITEM_Y - place) / 2 * WX + ITEM_X;\n            if (place == reach) {\n                room[slot] = mine[b].hi;",
                    GPU,
                    c -> columns(c) && c.valuesPerChannel() > 50),
            new KernelMistake(
                    "group norm's moments not handed to the other work-items",
                    "fold_moments.cl",
                    "    mine = shared[0];\n    unit = shared_unit[0];",
                    "    unit = shared_unit[0];",
                    GPU,
                    c -> c.normalization().grouping() instanceof Grouping.Channels run
                            && run.groups() < c.channels()
                            && !c.fusion().isMasked()),
            new KernelMistake(
                    "rows past the last one in a share of registers",
                    "cached.cl",
                    "vec d = i < count ? in[i] - hi : (vec)(0.0f);",
                    "vec d = in[i] - hi;",
                    GPU_CACHED,
                    c -> columns(c)),
            new KernelMistake(
                    "the gradients not clipped by their norm",
                    "optimizer.cl",
                    "factor > 1.0f || isinf(max_norm) ? 1.0f : factor",
                    "1.0f",
                    CPU,
                    c -> isUsual(c) && c.elements() > 300 && optimizer(c) == 5),
            new KernelMistake(
                    "gradients below the largest norm made larger",
                    "optimizer.cl",
                    "factor > 1.0f || isinf(max_norm) ? 1.0f : factor",
                    "factor",
                    CPU,
                    c -> isUsual(c) && c.elements() > 300 && optimizer(c) == 5 && c.seed() / 6 % 3 == 2),
            new KernelMistake(
                    "parameters without decay decayed",
                    "optimizer.cl",
                    "if (!HAS_MEMBER(decayed, mine.member)) {",
                    "if (0) {",
                    CPU,
                    c -> isUsual(c) && c.elements() > 300 && optimizer(c) == 1),
            new KernelMistake(
                    "a frozen parameter updated",
                    "optimizer.cl",
                    "    long end = HAS_MEMBER(skipped, mine.member) ? mine.at : mine.end;\n    for",
                    "    long end = mine.end;\n    for",
                    CPU,
                    c -> isUsual(c) && c.elements() > 300 && optimizer(c) == 0),
            new KernelMistake(
                    "AdamW's decay taken for Adam's",
                    "optimizer.cl",
                    "p -= (vec)(shrink) * p;",
                    "g += (vec)(shrink) * p;",
                    CPU,
                    c -> isUsual(c) && c.elements() > 300 && optimizer(c) == 3),
            new KernelMistake(
                    "a tensor's state read from the launch's first one",
                    "optimizer.cl",
                    "long state = first_element + mine.from + (at - mine.at);",
                    "long state = first_element + (at - mine.at);",
                    CPU,
                    c -> isUsual(c) && c.elements() > 300 && optimizer(c) == 4),
            new KernelMistake(
                    "the last elements not copied",
                    "copy.cl",
                    "    for (; at < end; at++) {\n        y[at] = x[at];\n    }\n}",
                    "}",
                    CPU,
                    c -> runs(c) && c.elements() % 2 != 0),
            new KernelMistake(
                    "a part of local memory not written",
                    "trees.clh",
                    "                room[slot + 2 * (WG / 2)] = mine[b].m2 + mine[b].m2_lo;\n",
                    "",
                    GPU,
                    c -> columns(c) && c.valuesPerChannel() > 50),
            new KernelMistake(
                    "no second look at values whose squares are infinite",
                    "numbers_template.clh",
                    "ITYPE lost = !(isfinite(hi) && isfinite(m2));",
                    "ITYPE lost = 0;",
                    CPU,
                    c -> c.isPlain() && c.data() == Data.LARGE),
            new KernelMistake(
                    "no second look at columns whose squares are 0",
                    "numbers_template.clh",
                    "return select(select((TYPE)(1.0f), (TYPE)(UNIT_OF_SMALL), small), (TYPE)(UNIT_OF_LARGE), lost);",
                    "return select((TYPE)(1.0f), (TYPE)(UNIT_OF_LARGE), lost);",
                    CPU,
                    c -> c.isPlain() && c.data() == Data.SMALL && c.shape().spatial() == 1),
            new KernelMistake(
                    "of a small plane's columns only the first one's sum taken",
                    "pipelined.cl",
                    "dy[g] = sum_columns(dy + g * width, width);",
                    "dy[g] = dy[g * width];",
                    CPU_FUSED,
                    c -> c.isPlain()
                            && c.mode().training
                            && c.shape().batch() > 100
                            && c.shape().spatial() > 1),
            new KernelMistake(
                    "a second look whose mean is not in units",
                    "cached.cl",
                    "hi += in_units(load_as(X, x + own.at[i]), unit);",
                    "hi += load_as(X, x + own.at[i]);",
                    GPU_CACHED,
                    c -> c.isPlain() && c.data() == Data.LARGE && c.shape().spatial() > 1),
            new KernelMistake(
                    "a group after the last of those that share statistics",
                    "fold_gradients.cl",
                    "int own = joined > 0 ? group + i : group, valid = min(JOINED - i, together);",
                    "int own = joined > 0 ? group + i : group, valid = together;",
                    CPU,
                    c -> c.normalization().grouping() instanceof Grouping.Channels
                            && c.shape().batch() == 1
                            && c.shape().channels() == 31),
            new KernelMistake(
                    "small squares of a gradient subtracted",
                    "optimizer.cl",
                    "to->small += select(none, small * small, is_small);",
                    "to->small -= select(none, small * small, is_small);",
                    CPU,
                    c -> c.data() == Data.SMALL),
            new KernelMistake(
                    "the third slice of an inference a group off",
                    "inference.cl",
                    "FORWARD_FROM(0, own)",
                    "FORWARD_FROM(0, own + (slice > 1))",
                    CPU_FUSED,
                    c -> infers(c, 5)),
            new KernelMistake(
                    "a stripe of an inference that ends a group early",
                    "inference.cl",
                    "row * columns + (long)right * length, groups",
                    "row * columns + (long)(right - 1) * length, groups",
                    CPU_FUSED,
                    c -> infers(c, 40)),
            new KernelMistake(
                    "the last rows of an inference left out",
                    "inference.cl",
                    "forward_planes(&arrays, first * columns, last * columns, groups, length, 1);",
                    "forward_planes(&arrays, first * columns, (last - 1) * columns, groups, length, 1);",
                    CPU_FUSED,
                    c -> infers(c, 5)),
            new KernelMistake(
                    "a matrix of an inference whose slices begin at the first row",
                    "inference.cl",
                    "forward_flat(&arrays, rows * groups, slice, rows_per_slice * groups, groups);",
                    "forward_flat(&arrays, rows * groups, 0, rows_per_slice * groups, groups);",
                    CPU_FUSED,
                    c -> infers(c, 19)),
            new KernelMistake(
                    "x had from y without 1/γ",
                    "fold_gradients.cl",
                    "{norm / FOLD(times_power)(scale, power),",
                    "{norm,",
                    CPU,
                    c -> c.inPlace() == InPlace.Y_IS_X_FOR_GOOD && c.affine().gamma));

    /** All that a verification finds. */
    static final List<KernelMistake> FOUND =
            Stream.of(FEW, MORE).flatMap(List::stream).toList();

    /** Those that it does not find on PoCL, and why it need not. */
    static final Map<KernelMistake, String> UNSEEN = Map.of(
            new KernelMistake(
                            "sums without compensation",
                            "numbers_template.clh",
                            "*sum_lo += term - (s - *sum);",
                            "",
                            CPU,
                            c -> c.isPlain() && c.valuesPerChannel() > 4000 && c.affine().beta && c.mode().training),
                    "it keeps the error from growing with the number of values, and no case has so many that the growth passes the bound",
            new KernelMistake(
                            "no barrier between fold and apply",
                            "folds.clh",
                            "#define FOLDED barrier(CLK_GLOBAL_MEM_FENCE)",
                            "#define FOLDED",
                            GPU_FUSED,
                            c -> runs(c)),
                    "PoCL takes the work-items of a work-group in turn, and the one that folds is the first. It is a race, which Oclgrind reports: `ci/verify-devices oclgrind`",
            new KernelMistake(
                            "1/σ without its Newton step",
                            "fold_moments.cl",
                            "return select(r, better, isfinite(better));",
                            "return r;",
                            CPU,
                            c -> runs(c)),
                    "it is right to two roundings without, where roots and quotients are rounded correctly, as they are on PoCL",
            new KernelMistake(
                            "bfloat16 rounded away from 0 at ties",
                            "storage.clh",
                            "(bits + (uvec)(0x7fff) + ((bits >> (uvec)(16)) & (uvec)(1))) >> (uvec)(16);",
                            "(bits + (uvec)(0x8000)) >> (uvec)(16);",
                            CPU,
                            c -> runs(c)
                                    && c.type() == DataType.BFLOAT16
                                    && c.shape().spatial() > 16),
                    "at a tie both neighbours are as near, and a case allows either; `StorageTest` has them by their bits");

    private KernelMistakes() {}

    private static boolean runs(VerifierCase c) {
        return isUsual(c) && c.layout() == Layout.CHANNELS_FIRST && c.shape().spatial() > 1;
    }

    /** In one launch of several work-groups. */
    private static boolean infers(VerifierCase c, int channels) {
        return c.isPlain()
                && !c.mode().training
                && c.shape().elements() > 10000
                && c.shape().channels() == channels;
    }

    private static boolean columns(VerifierCase c) {
        return isUsual(c) && c.shape().spatial() == 1;
    }

    /** Batch normalization in training by the kernels that all layers have, of data that leave nothing to chance. */
    private static boolean isUsual(VerifierCase c) {
        return c.isPlain()
                && c.mode().training
                && c.inPlace() != InPlace.Y_IS_X_FOR_GOOD
                && !c.isCombined()
                && Fusion.USUAL.contains(c.fusion())
                && (c.data() == Data.NORMAL || c.data().mean > 0);
    }

    private static boolean averages(VerifierCase c) {
        return runs(c) && c.average().isTracked();
    }

    private static boolean isRows(VerifierCase c) {
        return c.normalization().grouping() instanceof Grouping.Rows
                && !c.fusion().isMasked();
    }

    private static boolean isVirtual(VerifierCase c) {
        return c.normalization().grouping() instanceof Grouping.Batch batch
                && batch.isVirtual()
                && batch.rest() == Grouping.Batch.Rest.OWN;
    }

    /** The number of the optimizer whose step goes with a case. */
    private static int optimizer(VerifierCase c) {
        return (int) (c.seed() % 6);
    }
}
