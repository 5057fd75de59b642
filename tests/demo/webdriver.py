"""A browser without a screen, driven through WebDriver with nothing but the standard library."""

import http.client
import json
import re
import shutil
import subprocess

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"end": "\ue010", "home": "\ue011", "left": "\ue012", "right": "\ue014", "tab": "\ue004",
        "enter": "\ue007"}


class Browser:
    def __init__(self):
        driver = shutil.which("chromedriver")
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        if not driver or not chromium:
            raise SystemExit("needs chromium and chromedriver: run scripts/setup.sh")
        self.driver = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True)
        self.session = None
        for line in self.driver.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                break
        else:
            raise SystemExit("chromedriver does not start")
        self.port = int(found.group(1))
        options = {
            "binary": chromium,
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--window-size=1280,900"],
        }
        wanted = {"goog:chromeOptions": options,
                  "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        answer = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = answer["sessionId"]

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"Content-Type": "application/json"}
        body = json.dumps(body) if body is not None else None
        connection.request(method, path, body, headers)
        answer = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{method} {path}: {answer['error']}: {answer['message'][:300]}")
        return answer

    def call(self, path, body=None, method="POST"):
        return self.ask(method, f"/session/{self.session}{path}", {} if body is None else body)

    def close(self):
        try:
            if self.session:
                self.ask("DELETE", f"/session/{self.session}")
        finally:
            self.driver.kill()
            self.driver.wait()

    def open(self, url):
        self.call("/url", {"url": url})

    def run(self, script, *arguments):
        return self.call("/execute/sync", {"script": script, "args": list(arguments)})

    def element(self, selector):
        return self.call("/element", {"using": "css selector", "value": selector})[ELEMENT]

    def type(self, selector, text):
        self.call(f"/element/{self.element(selector)}/value", {"text": text})

    def click(self, selector):
        self.call(f"/element/{self.element(selector)}/click")

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def point_at(self, selector, x, y):
        """Moves the pointer to a place in an element, from its middle."""
        origin = {ELEMENT: self.element(selector)}
        move = {"type": "pointerMove", "duration": 0, "x": x, "y": y, "origin": origin}
        self.call("/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [move]}]})

    def press(self, keys):
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.call("/actions", {"actions": [{"type": "key", "id": "keys", "actions": strokes}]})

    def devtools(self, command, **parameters):
        self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def log(self, kind):
        return self.call("/se/log", {"type": kind})

    def screenshot(self):
        return self.ask("GET", f"/session/{self.session}/screenshot")
