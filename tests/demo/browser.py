"""Drives the page of `zsseg demo` in a real browser: browser.py HOST:PORT PICTURE [SCREENSHOTS]

The server runs with the model of fixture.rs and with PICTURE as its sample. With a folder for
SCREENSHOTS, pictures of the page are left there. The last line reads "N passed, N failed".
"""

import base64
import http.client
import json
import os
import re
import sys
import tempfile
import time
import traceback

from webdriver import KEYS, Browser

ADDRESS, PICTURE = sys.argv[1], os.path.abspath(sys.argv[2])
SCREENSHOTS = sys.argv[3] if len(sys.argv) > 3 else None
# Colours in the canvas, left to right along the middle row.
ROW = """
const c = document.getElementById("canvas"), d = c.getContext("2d");
const row = d.getImageData(0, c.height >> 1, c.width, 1).data;
return Array.from({length: c.width}, (_, x) => [row[4 * x], row[4 * x + 1], row[4 * x + 2]]);
"""
DROP = """
const done = arguments[arguments.length - 1], canvas = document.getElementById("canvas");
canvas.toBlob((blob) => {
  const data = new DataTransfer();
  data.items.add(new File([blob], "dropped.png"));
  document.getElementById("stage").dispatchEvent(
    new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
});
"""
browser = None


def wait(what, condition, seconds=30):
    """Waits until the page is at rest and the condition holds; returns what it returned."""
    end = time.monotonic() + seconds
    while True:
        value = not browser.run("return document.body.className") and condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not seen: {what}; error line: {browser.text('#error')!r}")
        time.sleep(0.05)


def names():
    """Classes in the summary, without their marks."""
    rows = browser.run("return [...document.querySelectorAll('#summary tr td:first-child')]"
                       ".map((cell) => cell.textContent.trim())")
    return [row.removesuffix(" unseen") for row in rows]


def chips():
    return browser.run("return [...document.querySelectorAll('#classes li')].map((c) => "
                       "c.dataset.name + (c.className === 'unseen' ? '*' : ''))")


def row():
    return browser.run(ROW)


def ask_server(path):
    connection = http.client.HTTPConnection(ADDRESS, timeout=60)
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def complaints():
    """What the browser logged since the last call, but for advice about reading canvases, which
    this script does."""
    entries = [e for e in browser.log("browser") if e["level"] != "INFO"]
    return [e["message"] for e in entries if "getImageData" not in e["message"]]


def save(name):
    if SCREENSHOTS:
        with open(os.path.join(SCREENSHOTS, name), "wb") as file:
            file.write(base64.b64decode(browser.screenshot()))


def test_the_page_tells_about_the_model():
    wait("the model's name", lambda: "colours" in browser.text("#model"))
    assert chips() == ["red", "green", "blue*"], chips()
    assert "7 words" in browser.text("#room")


def test_a_chosen_picture_is_segmented():
    browser.type("#file", PICTURE)
    wait("the summary", lambda: names() == ["green", "red", "blue"] or len(names()) == 3)
    assert set(names()) == {"red", "green", "blue"}, names()
    colors = row()
    assert len(colors) == 64
    assert colors[0] == [228, 15, 15] or colors[0] == [227, 15, 15], colors[0]
    assert "network" in browser.text("#times")


def test_a_named_class_appears():
    before = row()
    browser.type("#name", "yellow" + KEYS["enter"])
    wait("a row for yellow", lambda: "yellow" in names())
    assert chips() == ["red", "green", "blue*", "yellow*"], chips()
    after = row()
    assert after[63] != before[63] and after[0] == before[0], (before[63], after[63])
    assert browser.run("return document.getElementById('name').value") == ""


def slide(identity, key):
    browser.run("document.getElementById(arguments[0]).focus()", identity)
    browser.press([KEYS[key]])


def test_the_bias_slider_favours_unseen_classes():
    before, shares = row(), ask_server("/api/summary")["classes"]
    slide("bias", "end")
    wait("the number", lambda: browser.text("#bias-value") == "1.00")
    wait("a server that knows", lambda: ask_server("/api/model")["decision"]["gamma"] == 1)
    wait("only unseen classes", lambda: set(names()) == {"blue", "yellow"})
    assert row() != before
    slide("bias", "home")
    wait("the mask from before", lambda: row() == before)
    assert ask_server("/api/summary")["classes"] == shares


def test_the_reject_slider_leaves_pixels_out():
    before = row()
    slide("reject", "end")
    wait("pixels without a class", lambda: "(no class)" in names())
    assert row() != before
    slide("reject", "home")
    wait("the mask from before", lambda: row() == before)


def test_sliders_do_not_run_the_network():
    for _ in range(20):
        slide("bias", "right")
    wait("the number", lambda: browser.text("#bias-value") == "0.20")
    wait("a server that knows",
         lambda: abs(ask_server("/api/model")["decision"]["gamma"] - 0.2) < 1e-6)
    slide("bias", "home")
    wait("the number", lambda: browser.text("#bias-value") == "0.00")
    assert ask_server("/api/summary")["network_runs"] == 1


def test_fusion_can_be_chosen():
    browser.type("#fusion", "vote")
    wait("its time", lambda: "segments" in browser.text("#times"))
    assert ask_server("/api/model")["fusion"]["mode"] == "vote"
    slide("fusion", "home")
    wait("no time", lambda: "segments" not in browser.text("#times"))
    assert ask_server("/api/model")["fusion"]["mode"] == "off"


def test_views_differ():
    views = {}
    for view in ("picture", "mask", "confidence", "overlay"):
        browser.click(f"label:has([value={view}])")
        views[view] = row()
    assert views["picture"][0] == [255, 0, 0], views["picture"][0]
    assert views["mask"][0] == [200, 30, 30], views["mask"][0]
    red, green, blue = views["confidence"][20]
    assert red == green == blue
    slide("opacity", "end")
    assert row() == views["mask"]
    slide("opacity", "home")
    assert row() == views["picture"]
    browser.run("const o = document.getElementById('opacity'); o.value = 0.5;"
                "o.dispatchEvent(new Event('input'))")
    assert row() == views["overlay"]


def test_a_pixel_tells_its_class():
    browser.point_at("#canvas", 0, 0)
    wait("a pixel in the middle", lambda: re.match("3[0-3], 2[2-5]: ", browser.text("#probe")))
    browser.run("document.getElementById('canvas').focus()")
    browser.press([KEYS["left"]] * 20)
    wait("the leftmost pixel", lambda: "red, confidence" in browser.text("#probe"))


def test_the_page_is_usable_by_keyboard():
    browser.run("document.activeElement.blur()")
    seen = []
    for _ in range(30):
        browser.press([KEYS["tab"]])
        seen.append(browser.run("return document.activeElement.id"))
    for identity in ("file", "sample", "canvas", "opacity", "name", "bias", "reject", "fusion"):
        assert identity in seen, (identity, seen)


def test_a_class_is_removed():
    before = row()
    browser.click("#classes [data-name=yellow] button")
    wait("its row to go", lambda: "yellow" not in names())
    assert chips() == ["red", "green", "blue*"]
    assert row() != before


def test_the_sample_and_a_dropped_picture_are_segmented():
    runs = ask_server("/api/summary")["network_runs"]
    browser.click("#sample")
    wait("the sample", lambda: ask_server("/api/summary")["network_runs"] == runs + 1)
    browser.run(DROP)
    wait("the dropped one", lambda: ask_server("/api/summary")["network_runs"] == runs + 2)
    assert browser.text("#error") == ""


def test_it_fits_on_a_phone():
    save("light.png")
    browser.devtools("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": "dark"}])
    save("dark.png")
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(17, 20, 24)", background
    browser.devtools("Emulation.setDeviceMetricsOverride", width=390, height=1900,
                     deviceScaleFactor=1, mobile=True)
    save("phone_dark.png")
    browser.devtools("Emulation.setEmulatedMedia", features=[])
    save("phone.png")
    width = browser.run("return document.documentElement.scrollWidth")
    assert width <= 390, width
    browser.devtools("Emulation.clearDeviceMetricsOverride")


def test_no_script_error_and_no_request_to_elsewhere():
    assert complaints() == []
    requests = set()
    for entry in browser.log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            requests.add(message["params"]["request"]["url"])
    foreign = [url for url in requests if not url.startswith((f"http://{ADDRESS}/", "data:"))]
    assert foreign == [], foreign
    assert f"http://{ADDRESS}/api/pixels" in requests, requests


# These make requests fail, which the browser logs.

def test_an_unknown_word_offers_known_ones():
    browser.type("#name", "yelow" + KEYS["enter"])
    wait("the error", lambda: 'no word "yelow"' in browser.text("#error"))
    save("error.png")
    offered = browser.run("return [...document.querySelectorAll('#error button')]"
                          ".map((b) => b.textContent)")
    assert offered == ["yellow"], offered
    browser.click("#error button")
    wait("a row for yellow", lambda: "yellow" in names() and browser.text("#error") == "")


def test_what_is_no_picture_is_told():
    before = row()
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(b"not a picture")
        file.flush()
        browser.type("#file", file.name)
        wait("the error", lambda: "cannot be read as a picture" in browser.text("#error"))
    assert row() == before
    browser.type("#file", PICTURE)
    wait("no error", lambda: browser.text("#error") == "")


def test_only_those_failures_were_logged():
    logged = complaints()
    assert len(logged) == 2 and "422" in logged[0] and "415" in logged[1], logged


def main():
    global browser
    browser = Browser()
    passed = failed = 0
    try:
        browser.open(f"http://{ADDRESS}/")
        for name, test in list(globals().items()):
            if not name.startswith("test_"):
                continue
            try:
                test()
                passed += 1
                print(f"ok      {name}", flush=True)
            except Exception:
                failed += 1
                print(f"FAILED  {name}", flush=True)
                traceback.print_exc(file=sys.stdout)
    finally:
        browser.close()
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
