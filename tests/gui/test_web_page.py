"""The page in the browser: what it tells, to whom, and that it can do nothing."""

import http.client
import json
import pathlib
import re
import shutil
import subprocess
import sys
import threading

import pytest

from bmi_runtime.errors import BadInput
from gui import web_page, web_state
from gui.alarms import Alarms
from gui.screenshot import store_from
from gui.store import Store

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import synthetic


@pytest.fixture
def server():
    found = web_page.Server(("127.0.0.1", 0), "right")
    store = store_from(synthetic.hello(20))
    found.board.put("/live.json", web_state.live(store, Alarms(), store.last_s))
    found.board.put("/curves.json", web_state.curves(store))
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def get(server, path, token=None, host=None, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    connection.request(method, path, headers=headers | ({"Host": host} if host else {}))
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


def test_the_state_is_told_to_the_token_alone(server):
    for path in ("/live.json", "/curves.json"):
        for token in (None, "", "wrong", "rightt"):
            status, body, _ = get(server, path, token)
            assert status == 401 and b"cursor" not in body
        status, body, _ = get(server, path, "right")
        assert status == 200 and json.loads(body)
    assert json.loads(get(server, "/live.json", "right")[1])["word"] == "▶ RUNNING"


def test_only_get_is_answered_and_only_by_this_machines_name(server):
    assert get(server, "/", host="evil.example:1")[0] == 421
    assert get(server, "/../store.py", "right")[0] == 404
    for method in ("POST", "PUT", "DELETE"):
        assert get(server, "/live.json", "right", method=method)[0] == 501


def test_the_page_asks_no_other_machine(server):
    status, body, headers = get(server, "/")
    assert status == 200 and "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.findall(rb"(?:https?:)?//[a-z]", body)


def test_every_value_is_plain_json_before_and_during_a_session():
    for store in (Store(), store_from(synthetic.hello(3))):
        json.dumps([web_state.live(store, Alarms(), 0.0), web_state.curves(store)], allow_nan=False)


def test_off_loopback_needs_keys_and_a_certificate(tmp_path):
    assert web_page.parsed("127.0.0.1:0", "") == ("127.0.0.1", 0)
    for address, words in (("0.0.0.0:80", "page.pem"), ("here", "HOST:PORT"), ("127.0.0.1:99999", "65535")):
        with pytest.raises(BadInput, match=re.escape(words)):
            web_page.parsed(address, str(tmp_path))
    (tmp_path / "page.pem").write_text("")
    assert web_page.parsed("0.0.0.0:80", str(tmp_path)) == ("0.0.0.0", 80)


@pytest.mark.slow
def test_chromium_shows_the_session_and_closes_on_a_wrong_token(server, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium here (apt-get install chromium)")
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1024,768"]
    command += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=4000", "--dump-dom"]
    pages = []
    for token in ("right", "wrong"):
        url = f"http://127.0.0.1:{server.server_port}/#{token}"
        pages.append(subprocess.run([*command, url], capture_output=True, text=True, timeout=120).stdout)
    assert "▶ RUNNING" in pages[0] and "ADAPTING" in pages[0] and "Learning rate" in pages[0]
    assert "the token in its address is wrong" in pages[1] and "RUNNING" not in pages[1]


def test_what_says_that_it_knows_no_qt_starts_without_it():
    """The page is served by a process that needs no Qt, from the modules whose docstring says so."""
    folder = pathlib.Path(web_page.__file__).parent
    plain = [path.stem for path in folder.glob("*.py") if "No Qt here" in path.read_text("utf-8")[:400]]
    assert {"store", "status", "event_log", "timeline"} <= set(plain)
    names = ", ".join(f"gui.{name}" for name in ("web_page", *plain))
    look = f"import sys, {names}; print([name for name in sys.modules if 'PyQt' in name or 'pyqtgraph' in name])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
