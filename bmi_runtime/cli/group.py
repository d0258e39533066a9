"""The group of subcommands behind ``bmi``, for click."""

import importlib

import click

from bmi_runtime.cli.subcommands import ABOUT, SUBCOMMANDS, exists


class LazyGroup(click.Group):
    """A group whose subcommands are imported only when they are called, so that ``bmi --help`` stays quick."""

    def list_commands(self, ctx):
        """Return the names in the order of the table."""
        return [name for name, (module, _, _) in SUBCOMMANDS.items() if exists(module)]

    def get_command(self, ctx, cmd_name):
        """Import and return one subcommand, or None."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, function, _ = SUBCOMMANDS[cmd_name]
        from bmi_runtime.cli.common import laid_out

        return laid_out(getattr(importlib.import_module(module), function))

    def format_commands(self, ctx, formatter):
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUBCOMMANDS[name][2]) for name in self.list_commands(ctx)])

    def resolve_command(self, ctx, args):
        """Find the subcommand; name the nearest one when there is none."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.list_commands(ctx):
            import difflib

            near = difflib.get_close_matches(name, self.list_commands(ctx), 1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; choose from {', '.join(self.list_commands(ctx))}"
            ctx.fail(f"there is no command '{name}'{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, help=ABOUT, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bmi-runtime")
def bmi():
    """Find the subcommand."""
