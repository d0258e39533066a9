"""``bmi keys``: the keys that secure sockets off loopback."""

import click

from bmi_runtime.cli.common import answer, answer_options


@click.command()
@click.argument("folder")
@answer_options
def keys(folder, as_json):
    """Make CURVE keys in FOLDER for a server, a client (data, viewers) and an operator (commands).

    Set telemetry.key_folder to it. Another machine gets a copy of server.key and of its own *.key_secret, nothing else.
    """
    from bmi_runtime.security import make_keys

    files = [str(file) for file in make_keys(folder)]
    text = [f"made {file}" for file in files]
    text += [
        f"Here: --set telemetry.key_folder={folder}",
        "A viewer elsewhere needs copies of server.key and client.key_secret; an operator, server.key and "
        "operator.key_secret.",
        "To let another key in, put its .key file into admitted/clients or admitted/operators.",
    ]
    answer({"files": files}, as_json, "\n".join(text))
