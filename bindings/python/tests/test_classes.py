import numpy as np
import pytest
import zsseg


def test_classes_come_and_go(segmenter, picture):
    before = segmenter.segment(picture).labels
    count = len(segmenter.classes)
    label = segmenter.add_class("cat", color=(255, 0, 0))
    cat = segmenter.classes[-1]
    assert (cat.label, cat.name, cat.color, cat.seen, cat.origin) == (
        label,
        "cat",
        (255, 0, 0),
        False,
        "word",
    )
    assert (segmenter.segment(picture).labels == label).mean() > 0.1
    segmenter.enable_class("cat", False)
    assert np.array_equal(segmenter.segment(picture).labels, before)
    segmenter.rename_class(label, "tomcat")
    segmenter.remove_class("tomcat")
    assert len(segmenter.classes) == count
    assert np.array_equal(segmenter.segment(picture).labels, before)


def test_every_way_to_add(segmenter, picture):
    by_word = segmenter.add_class("a cat", word="cat")
    labels = segmenter.segment(picture).labels
    segmenter.remove_class(by_word)
    channels = segmenter.features().shape[2 if segmenter.feature_layout == "hwc" else 0]
    label = segmenter.add_class("nothing", row=np.zeros(channels, np.float32), row_bias=-1e6)
    assert not (segmenter.segment(picture).labels == label).any()
    segmenter.replace_class(label, word="cat")
    assert np.array_equal(segmenter.segment(picture).labels == label, labels == by_word)
    with pytest.raises(ValueError):
        segmenter.add_class("both", word="cat", row=np.zeros(channels, np.float32))


def test_generated(picture):
    from conftest import BUNDLE

    height, width, _ = picture.shape
    segmenter = zsseg.Segmenter(
        BUNDLE, max_width=width, max_height=height, extra_classes=1, generator=True
    )
    label = segmenter.add_class("cat", generate=True)
    assert segmenter.classes[-1].origin == "generator"
    assert (segmenter.segment(picture).labels == label).any()


def test_refusals_change_nothing(segmenter):
    before = [repr(c) for c in segmenter.classes]
    cases = [
        (dict(name="qwertyuiop"), "UnknownWord"),
        (dict(name="dog"), "ClassExists"),
        (dict(name="x\n", word="cat"), "InvalidArgument"),
        (dict(name="x", embedding=np.full(50, np.nan, np.float32)), "InvalidArgument"),
        (dict(name="x", embedding=np.ones(3, np.float32)), "InvalidArgument"),
        (dict(name="x", word="cat", generate=True), "Unsupported"),
    ]
    for arguments, status in cases:
        with pytest.raises(zsseg.ZssegError) as caught:
            segmenter.add_class(**arguments)
        assert caught.value.status == status, arguments
    with pytest.raises(KeyError):
        segmenter.remove_class("unheard of")
    assert [repr(c) for c in segmenter.classes] == before
    for word in ["cat", "cow"]:
        segmenter.add_class(word)
    with pytest.raises(zsseg.ZssegError) as caught:
        segmenter.add_class("horse cart", word="cart")
    assert caught.value.status == "ClassTableFull"


def test_decisions(segmenter, picture):
    label = segmenter.add_class("cat")
    segmenter.set_decision(unseen_bias=0.0)
    few = (segmenter.segment(picture).labels == label).mean()
    segmenter.set_decision(unseen_bias=0.9, on="probabilities")
    many = (segmenter.segment(picture).labels == label).mean()
    assert many > few
    segmenter.set_decision(min_confidence=0.9)
    assert (segmenter.segment(picture).labels == zsseg.UNLABELED_U8).any()
    with pytest.raises(zsseg.ZssegError):
        segmenter.set_decision(min_confidence=2.0)
    with pytest.raises(ValueError):
        segmenter.set_decision(unseen_bias=0.1, on="moods")


def test_fusion_and_smoothing(picture):
    from conftest import BUNDLE

    height, width, _ = picture.shape
    segmenter = zsseg.Segmenter(
        BUNDLE, max_width=width, max_height=height, fusion=True, smoothing=True
    )
    plain = segmenter.segment(picture).labels
    segmenter.set_fusion("soft")
    assert not np.array_equal(segmenter.segment(picture).labels, plain)
    segmenter.set_fusion(None)
    assert np.array_equal(segmenter.segment(picture).labels, plain)
    segmenter.set_smoothing(0.5)
    segmenter.segment(np.zeros_like(picture))
    segmenter.set_smoothing(1.0)
    assert np.array_equal(segmenter.segment(picture).labels, plain)
    with pytest.raises(zsseg.ZssegError):
        segmenter.set_fusion("melt")
