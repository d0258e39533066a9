"""The ``bmi`` command: finds the subcommand, turns errors into one sentence and an exit code.

``bmi --help`` is answered from the table alone: to import click takes eight times as long as to start Python.
"""

import errno
import os
import stat
import sys
import warnings
from collections.abc import Iterable, Iterator

from bmi_runtime.cli.subcommands import ABOUT, SUBCOMMANDS, exists

OPTIONS = {"--version": "Show the version and exit.", "-h, --help": "Show this message and exit."}
WIDEST, NARROWEST = 78, 50  # columns of a help text


def help_text(columns: int = 80) -> str:
    """Return what ``bmi --help`` says on a terminal of some columns, as click would lay it out."""
    width = max(min(columns - 2, WIDEST), NARROWEST)
    commands = {name: line for name, (module, _, line) in SUBCOMMANDS.items() if exists(module)}
    lines = ["Usage: bmi [OPTIONS] COMMAND [ARGS]...", "", *(f"  {line}" for line in _wrapped(ABOUT, width - 2))]
    for title, rows in (("Options", OPTIONS), ("Commands", commands)):
        lines += ["", f"{title}:"]
        first = max(map(len, rows)) + 4
        for name, text in rows.items():
            pieces = list(_wrapped(text, width - first))
            lines += [f"  {name:<{first - 2}}{pieces[0]}", *(" " * first + piece for piece in pieces[1:])]
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):
        return 80


LONGEST_END_S = 2.0  # that threads of parts are waited for
UNUSABLE = (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS)
"""What makes a name that was given one that cannot be used (exit code 2), where nothing more exact was said of it."""

ONE_THREAD_EACH = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Numeric libraries with threads of their own; on a busy machine two are several times slower than one."""


def _one_line(message, category, filename, lineno, line=None) -> str:
    """Return a warning as a sentence; who wants to know where it comes from says ``--debug``."""
    return f"bmi: {message}\n" if category is UserWarning else f"bmi: {category.__name__}: {message}\n"


def _open_streams():
    """Make the three standard streams usable: closed ones lead nowhere, and no character is too much for the others.

    Otherwise the next file that is opened, a recording perhaps, would get the number of standard output.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where a test has put something else
            stream.reconfigure(errors="backslashreplace")


def main():
    """Run the command line; every error is one sentence on standard error and an exit code."""
    try:
        _main()
    except SystemExit as leaving:
        _leave_threads(leaving.code)
        raise


def _leave_threads(code) -> None:
    """Where parts left threads or processes behind, wait so long for them at the end, and then end all the same."""
    processes = sys.modules.get("bmi_runtime.session.processes")
    if processes is None:
        return
    processes.left_threads[:] = [thread for thread in processes.left_threads if thread.is_alive()]
    if not (processes.left_threads or processes.copies):
        return
    import threading
    import time

    def end() -> None:
        threading.main_thread().join()  # it is over when the interpreter begins to wait for the others
        time.sleep(LONGEST_END_S)
        running = ", ".join(thread.name for thread in processes.left_threads if thread.is_alive()) or "a process"
        print(f"bmi: what a part started still runs ({running}): left behind", file=sys.stderr, flush=True)
        os._exit(code if isinstance(code, int) else 0)

    sys.stdout.flush()
    threading.Thread(target=end, daemon=True).start()


def _main():
    closed = sys.stdout is None
    _open_streams()
    if closed:
        print("bmi: standard output is closed, so what would be answered there is not seen", file=sys.stderr)
    if sys.argv[1:] in (["--help"], ["-h"]):
        _print_help()
        sys.exit(0)
    import click

    from bmi_runtime.cli.group import bmi
    from bmi_runtime.errors import shown_lines

    for name in ONE_THREAD_EACH:  # before NumPy is imported; a value that the user has set stays
        os.environ.setdefault(name, "1")

    debug = "--debug" in sys.argv
    if not debug:
        warnings.formatwarning = _one_line
    try:
        refuse_devices(sys.argv[1:])
        status = bmi.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        if debug:
            raise
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "bmi"
        print(f"{where}: {error.format_message()}", file=sys.stderr)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        sentence, code = _sentence(error)
        print(f"bmi: {shown_lines(sentence)}", file=sys.stderr)
        sys.exit(code)


def _print_help() -> None:
    """Print the help; nobody need read it to its end."""
    try:
        print(help_text(_columns()), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"bmi: {_sentence(error)[0]}", file=sys.stderr)
        sys.exit(1)


def refuse_devices(words: Iterable[str]) -> None:
    """Refuse words of a command line that name a pipe, a device or a socket: one would be read for ever.

    What stands behind a ``=`` counts, too, but of an address or an option of a part: there a serial line or a joystick
    is meant. ``/dev/null`` is as good as an empty file, and what a shell opens for the command (``<(...)`` as
    ``/dev/fd/63``) is somebody's wish.

    Raises
    ------
    BadInput
    """
    from bmi_runtime.errors import BadInput

    for word in words:
        key, _, value = word.rpartition("=")
        of_a_device = any(part == "options" or part.endswith("address") for part in key.split("."))
        for name in {word} if of_a_device else {word, value}:
            if name == os.devnull or name.startswith(("/dev/fd/", "/dev/std", "/proc/self/fd/")):
                continue
            try:
                mode = os.stat(name).st_mode
            except (OSError, ValueError):
                continue
            if os.path.realpath(name) != os.devnull and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise BadInput(f"{name} is a pipe or a device, not a file")


def _sentence(error):
    """Return what a person reads of an error, and the exit code."""
    from bmi_runtime.errors import BmiError, first_line

    if isinstance(error, BmiError):
        return str(error), error.exit_code
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        name = ascii(error.object[:60])
        return f"the name {name} holds bytes that are not text in this locale; try LANG=C.UTF-8", 2
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to write goes nowhere
        return f"standard output cannot be written: {error.strerror}", 1
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else error.filename
        return f"{name}: {error.strerror[:1].lower()}{error.strerror[1:]}", 2 if error.errno in UNUSABLE else 1
    if isinstance(error, MemoryError):
        return f"this needs more memory than there is: ask for less ({first_line(error)})", 1
    return f"{type(error).__name__}: {error} (run again with --debug for the traceback)", 1


if __name__ == "__main__":
    main()
