/* How pixels are decided, smoothed over time and fused with segments. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "tests.h"

#define SEED 7

static zsseg_decision_t plain(void)
{
    zsseg_decision_t decision;
    memset(&decision, 0, sizeof decision);
    decision.struct_size = sizeof decision;
    decision.max_unknown = 1.0f;
    return decision;
}

static zsseg_decision_t decision_of(zsseg_t *handle)
{
    zsseg_decision_t decision = plain();
    CHECK_STATUS(zsseg_decision(handle, &decision), ZSSEG_OK);
    return decision;
}

static size_t count_with(zsseg_t *handle, const zsseg_decision_t *decision, uint8_t label)
{
    struct planes planes;
    size_t count;
    CHECK_STATUS(zsseg_set_decision(handle, decision), ZSSEG_OK);
    planes = planes_segmented(handle, SEED);
    count = planes_count(&planes, label);
    planes_free(&planes);
    return count;
}

/* Rejection leaves confidences as they are and takes exactly the labels it should. */
static void check_rejected(zsseg_t *handle)
{
    zsseg_decision_t decision = plain();
    struct planes all, some;
    size_t i;
    CHECK_STATUS(zsseg_set_decision(handle, &decision), ZSSEG_OK);
    all = planes_segmented(handle, SEED);
    CHECK(planes_count(&all, ZSSEG_UNLABELED_U8) == 0);
    decision.min_confidence = 0.6f; /* 153 of 255 */
    CHECK_STATUS(zsseg_set_decision(handle, &decision), ZSSEG_OK);
    some = planes_segmented(handle, SEED);
    CHECK(planes_count(&some, ZSSEG_UNLABELED_U8) > 0);
    CHECK(memcmp(some.confidence.data, all.confidence.data, all.confidence.len) == 0);
    for (i = 0; i < FRAME_PIXELS; i++) {
        uint8_t confidence = all.confidence.data[i];
        CHECK(confidence <= 153 || some.labels.data[i] == all.labels.data[i]);
        CHECK(confidence >= 153 || some.labels.data[i] == ZSSEG_UNLABELED_U8);
        CHECK(all.unknown.data[i] + all.margin.data[i] - 255 <= 1);
        CHECK(all.unknown.data[i] + all.margin.data[i] - 255 >= -1);
    }
    planes_free(&all);
    planes_free(&some);
}

void test_decision(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->words);
    zsseg_t *handle = segmenter.handle;
    struct planes before = planes_segmented(handle, SEED);
    zsseg_decision_t stored = decision_of(handle), decision = plain();
    size_t unseen;

    CHECK(stored.stacking == ZSSEG_STACKING_PROBABILITIES && stored.gamma == 0.125f);
    CHECK(stored.min_confidence == 0.25f && stored.min_margin == 0.03125f);
    CHECK(stored.unknown == ZSSEG_UNKNOWN_ENERGY && stored.reference == -2.5f);
    CHECK(stored.max_unknown == 0.875f && stored.struct_size == sizeof stored);
    check_rejected(handle);

    /* The more the seen classes give up, the more pixels the unseen one gets. */
    unseen = count_with(handle, &decision, 2);
    decision.stacking = ZSSEG_STACKING_LOGITS;
    CHECK(count_with(handle, &decision, 2) == unseen);
    decision.gamma = 1.0f;
    CHECK(count_with(handle, &decision, 2) > unseen);
    decision.gamma = 1e30f;
    CHECK(count_with(handle, &decision, 2) == FRAME_PIXELS);
    decision.stacking = ZSSEG_STACKING_PROBABILITIES;
    decision.gamma = 0.0f;
    CHECK(count_with(handle, &decision, 2) == unseen);
    decision.gamma = 0.3f;
    CHECK(count_with(handle, &decision, 2) > unseen);
    decision.gamma = 1.0f;
    CHECK(count_with(handle, &decision, 2) == FRAME_PIXELS);

    decision = plain();
    decision.min_margin = 1.0f;
    CHECK(count_with(handle, &decision, ZSSEG_UNLABELED_U8) > FRAME_PIXELS / 2);
    decision = plain();
    decision.unknown = ZSSEG_UNKNOWN_ENERGY;
    decision.max_unknown = 0.5f;
    decision.reference = 1e6f;
    CHECK(count_with(handle, &decision, ZSSEG_UNLABELED_U8) == FRAME_PIXELS);
    decision.reference = -1e6f;
    CHECK(count_with(handle, &decision, ZSSEG_UNLABELED_U8) == 0);

    CHECK_STATUS(zsseg_set_decision(handle, &stored), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &before));
    planes_free(&before);
    segmenter_close(&segmenter);
}

void test_decision_ranges(const struct fixture *fixture)
{
    static const float BAD_SHARES[] = {-0.001f, 1.001f, NAN, INFINITY, -INFINITY};
    struct segmenter segmenter = segmenter_open_all(fixture->words);
    zsseg_t *handle = segmenter.handle;
    struct planes before = planes_segmented(handle, SEED);
    zsseg_decision_t stored = decision_of(handle), decision, after;
    size_t i;

#define REFUSED(field, value)                                                                    \
    decision = stored;                                                                           \
    decision.field = (value);                                                                    \
    CHECK_STATUS(zsseg_set_decision(handle, &decision), ZSSEG_E_INVALID_ARGUMENT)

    for (i = 0; i < sizeof BAD_SHARES / sizeof BAD_SHARES[0]; i++) {
        REFUSED(gamma, BAD_SHARES[i]);
        REFUSED(min_confidence, BAD_SHARES[i]);
        REFUSED(min_margin, BAD_SHARES[i]);
        REFUSED(max_unknown, BAD_SHARES[i]);
    }
    REFUSED(reference, NAN);
    REFUSED(reference, INFINITY);
    REFUSED(stacking, 3);
    REFUSED(unknown, 2);
    stored.stacking = ZSSEG_STACKING_LOGITS;
    REFUSED(gamma, NAN);
    REFUSED(gamma, INFINITY);
#undef REFUSED
    CHECK_STATUS(zsseg_set_decision(handle, NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_set_decision(NULL, &stored), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_decision(handle, NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_decision(NULL, &stored), ZSSEG_E_NULL_POINTER);
    decision.struct_size = 28;
    CHECK_STATUS(zsseg_set_decision(handle, &decision), ZSSEG_E_STRUCT_SIZE);
    CHECK_STATUS(zsseg_decision(handle, &decision), ZSSEG_E_STRUCT_SIZE);
    after = decision_of(handle);
    CHECK(after.stacking == ZSSEG_STACKING_PROBABILITIES && after.gamma == 0.125f);
    CHECK(mask_is_still(handle, SEED, &before));
    planes_free(&before);
    segmenter_close(&segmenter);
}

void test_smoothing(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->tiny);
    struct segmenter plain_one = segmenter_open(fixture->tiny, FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_t *handle = segmenter.handle;
    struct planes first = planes_segmented(handle, 1), second = planes_segmented(handle, 2);
    struct planes smooth;

    CHECK(mask_is_still(plain_one.handle, 1, &first));
    CHECK_STATUS(zsseg_set_smoothing(handle, 0.5f, 1.0f), ZSSEG_OK);
    CHECK(mask_is_still(handle, 1, &first));
    CHECK(mask_is_still(handle, 1, &first)); /* a still picture stays as it is */
    CHECK(!mask_is_still(handle, 2, &second));
    CHECK_STATUS(zsseg_forget(handle), ZSSEG_OK);
    CHECK(mask_is_still(handle, 2, &second));
    smooth = planes_segmented(handle, 1);
    CHECK(!planes_equal(&smooth, &first));
    /* With a cut at 0 every change of a best class drops the past. */
    CHECK_STATUS(zsseg_set_smoothing(handle, 0.5f, 0.0f), ZSSEG_OK);
    CHECK(mask_is_still(handle, 1, &first));
    CHECK(mask_is_still(handle, 2, &second));
    CHECK_STATUS(zsseg_set_smoothing(handle, 1.0f, 1.0f), ZSSEG_OK);
    CHECK(mask_is_still(handle, 1, &first));

    CHECK_STATUS(zsseg_set_smoothing(handle, 0.0f, 1.0f), ZSSEG_E_INVALID_ARGUMENT);
    CHECK_STATUS(zsseg_set_smoothing(handle, 1.5f, 1.0f), ZSSEG_E_INVALID_ARGUMENT);
    CHECK_STATUS(zsseg_set_smoothing(handle, NAN, 1.0f), ZSSEG_E_INVALID_ARGUMENT);
    CHECK_STATUS(zsseg_set_smoothing(handle, 0.5f, -0.1f), ZSSEG_E_INVALID_ARGUMENT);
    CHECK_STATUS(zsseg_set_smoothing(handle, 0.5f, NAN), ZSSEG_E_INVALID_ARGUMENT);
    CHECK_STATUS(zsseg_set_smoothing(NULL, 0.5f, 1.0f), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_forget(NULL), ZSSEG_E_NULL_POINTER);
    CHECK_STATUS(zsseg_set_smoothing(plain_one.handle, 0.5f, 1.0f), ZSSEG_E_UNSUPPORTED);
    CHECK_STATUS(zsseg_set_smoothing(plain_one.handle, 1.0f, 1.0f), ZSSEG_OK);
    planes_free(&first);
    planes_free(&second);
    planes_free(&smooth);
    segmenter_close(&segmenter);
    segmenter_close(&plain_one);
}

static zsseg_fusion_t fusion_of(uint32_t mode, float parameter, uint32_t segments)
{
    zsseg_fusion_t fusion;
    fusion.struct_size = sizeof fusion;
    fusion.mode = mode;
    fusion.parameter = parameter;
    fusion.segments = segments;
    return fusion;
}

static void check_fusion_refused(zsseg_t *handle, uint32_t mode, float parameter,
                                 uint32_t segments)
{
    zsseg_fusion_t fusion = fusion_of(mode, parameter, segments);
    CHECK_STATUS(zsseg_set_fusion(handle, &fusion), ZSSEG_E_INVALID_ARGUMENT);
}

/* The three modes are not one and the same: of some pictures they make different masks. */
static void check_modes_differ(zsseg_t *handle)
{
    unsigned seed, select_vote = 0, vote_soft = 0;
    for (seed = 1; seed <= 8; seed++) {
        struct planes fused[ZSSEG_FUSION_SOFT + 1];
        uint32_t mode;
        for (mode = ZSSEG_FUSION_SELECT; mode <= ZSSEG_FUSION_SOFT; mode++) {
            zsseg_fusion_t fusion = fusion_of(mode, 0.5f, 2);
            CHECK_STATUS(zsseg_set_fusion(handle, &fusion), ZSSEG_OK);
            fused[mode] = planes_segmented(handle, seed);
        }
        select_vote +=
            !planes_equal(&fused[ZSSEG_FUSION_SELECT], &fused[ZSSEG_FUSION_VOTE]);
        vote_soft += !planes_equal(&fused[ZSSEG_FUSION_VOTE], &fused[ZSSEG_FUSION_SOFT]);
        for (mode = ZSSEG_FUSION_SELECT; mode <= ZSSEG_FUSION_SOFT; mode++) {
            planes_free(&fused[mode]);
        }
    }
    CHECK(select_vote > 0 && vote_soft > 0);
}

void test_fusion(const struct fixture *fixture)
{
    struct segmenter segmenter = segmenter_open_all(fixture->tiny);
    struct segmenter plain_one = segmenter_open(fixture->tiny, FRAME_WIDTH, FRAME_HEIGHT);
    zsseg_t *handle = segmenter.handle;
    struct planes before = planes_segmented(handle, SEED);
    zsseg_fusion_t fusion;
    uint32_t mode;

    for (mode = ZSSEG_FUSION_SELECT; mode <= ZSSEG_FUSION_SOFT; mode++) {
        fusion = fusion_of(mode, 0.25f, 0);
        CHECK_STATUS(zsseg_set_fusion(handle, &fusion), ZSSEG_OK);
        CHECK(mask_is_still(handle, SEED, &before)); /* no segments, no change */
        /* With more segments each of the few cells would be a region of its own. */
        fusion.segments = 1;
        CHECK_STATUS(zsseg_set_fusion(handle, &fusion), ZSSEG_OK);
        CHECK(!mask_is_still(handle, SEED, &before));
    }
    check_modes_differ(handle);
    check_fusion_refused(handle, 0, 0.5f, 5);
    check_fusion_refused(handle, 4, 0.5f, 5);
    check_fusion_refused(handle, ZSSEG_FUSION_VOTE, 0.5f, 6);
    check_fusion_refused(handle, ZSSEG_FUSION_VOTE, -0.5f, 5);
    check_fusion_refused(handle, ZSSEG_FUSION_SELECT, NAN, 5);
    check_fusion_refused(handle, ZSSEG_FUSION_SOFT, 1.5f, 5);
    fusion.struct_size = 12;
    CHECK_STATUS(zsseg_set_fusion(handle, &fusion), ZSSEG_E_STRUCT_SIZE);
    CHECK_STATUS(zsseg_set_fusion(NULL, NULL), ZSSEG_E_NULL_POINTER);
    CHECK(!mask_is_still(handle, SEED, &before)); /* soft is still on */
    CHECK_STATUS(zsseg_set_fusion(handle, NULL), ZSSEG_OK);
    CHECK(mask_is_still(handle, SEED, &before));

    fusion = fusion_of(ZSSEG_FUSION_VOTE, 0.6f, 5);
    CHECK_STATUS(zsseg_set_fusion(plain_one.handle, &fusion), ZSSEG_E_UNSUPPORTED);
    CHECK_STATUS(zsseg_set_fusion(plain_one.handle, NULL), ZSSEG_OK);
    planes_free(&before);
    segmenter_close(&segmenter);
    segmenter_close(&plain_one);
}
