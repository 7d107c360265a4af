"""The command line: parses, calls what commands/ do, prints, and turns errors into exit codes.

0: done. 1: `check` or `doctor` found something. 2: the user's mistake, in one line. 3: a bug of snncc's.
130: interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from snncc_runtime import ModelError

from . import __version__
from .errors import CompileError, InternalError

REPORT = "this is a bug of snncc's; please report it with the network that shows it"
Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
OUT = click.Path(path_type=Path)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns the exit code; the entry point of the script `snncc`."""
    try:
        result = snncc.main(arguments, prog_name="snncc", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return _fail(error.format_message(), 2)
    except (CompileError, ModelError) as error:
        return _fail(str(error), 2)
    except InternalError as error:
        return _fail(f"{error}; {REPORT}", 3)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except BrokenPipeError:  # the reader of our output, say `head`, has seen enough
        sys.stdout = None
        return 1  # as click does where it meets this first


def _fail(message: str, code: int) -> int:
    click.echo(f"snncc: {message}", err=True)
    return code


NETWORK_OPTIONS = (
    ("--num-steps", int, None, "T", "Time steps of a call; 25, or those of an ONNX file."),
    ("--dtype", str, "float32", "TYPE", "float32 or float64."),
    (
        "--loss",
        str,
        None,
        "LOSS",
        "cross_entropy or mse of :mem, :rate or :count; mse:rate,on=1,off=0 for labels.",
    ),
    ("--optimizer", str, None, "NAME", "adam, sgd or adamw; also sgd,momentum=0.9 and the like."),
    ("--lr", float, None, "X", "Learning rate; 0.001 if not given."),
    ("--name", str, "model", "NAME", "Prefix of the C functions."),
    ("--seed", int, 0, "S", "Of the initial weights."),
    ("--unroll", str, "none", "K", "Steps that a turn of a time loop does: none, full or a number."),
    ("--products", str, "auto", "KIND", "auto, dense or events."),
    ("--rule", str, "bptt", "RULE", "bptt, dsr, ottt or stdp; also bptt,truncate=8 or stdp,tau_pre=3."),
    ("--checkpoint-every", int, None, "K", "Hold the values of only K steps at a time; same bits."),
    ("--context", str, None, "TYPE", "What is kept for the backward half: float32, float16 or bfloat16."),
    ("--target", str, "c", "NAME", "c for the processor, or cuda for a GPU of NVIDIA's."),
    ("--arch", str, None, "LIST", "Of GPUs, for --target cuda: sm_90, or all; this machine's if not given."),
    ("--precision", str, "exact", "KIND", "Of a GPU's products: exact, float32, split, tf32, bf16, float64."),
    ("--weights", str, None, "FILE", "Weights by name: PyTorch's state dict (.pt), safetensors or .npz."),
    ("--rename", str, None, "T=O,...", "Their names to ours, for --weights; `net.0.=fc1.` for prefixes."),
    ("--dt", float, None, "SECONDS", "Of a .nir file, read or written: how long a step is."),
    ("--dialect", str, None, "NAME", "Who wrote a .nir file: exact, snntorch, norse, spikingjelly, sinabs."),
    ("--reset", str, None, "KIND", "Instead of the dialect's: file, subtract or subtract_delayed."),
    ("--integrator", str, None, "KIND", "Instead of the dialect's: euler or exp."),
    ("--compare", str, None, "KIND", "Instead of the dialect's: gt or ge."),
    ("--v0", str, None, "START", "Instead of the dialect's: zero, v_reset or v_leak."),
)

IMPORT_OPTIONS = (
    click.option(
        "--state",
        multiple=True,
        metavar="IN=OUT",
        help="ONNX: a state's input and output (several: repeat it, or with commas), or none.",
    ),
    click.option("--time-axis", type=int, metavar="N", help="ONNX: of inputs, where a file holds all steps."),
    click.option("--batch-axis", type=int, metavar="N", help="ONNX: of inputs."),
    click.option(
        "--output",
        multiple=True,
        metavar="NAME=NAME",
        help="ONNX, NIR: another name for an output, spk_rec=spk, that losses know.",
    ),
    click.option(
        "--surrogate",
        metavar="NAME",
        help="ONNX, NIR: of spikes; ATan, or FastSigmoid,slope=10 and the like.",
    ),
)


def network_options(command: Command) -> Command:
    """What to compile a network for: the same for every command that takes SOURCE."""
    for add in reversed(IMPORT_OPTIONS):
        command = add(command)
    for name, kind, default, metavar, text in reversed(NETWORK_OPTIONS):
        shown = default is not None
        option = click.option(
            name, type=kind, default=default, show_default=shown, metavar=metavar, help=text
        )
        command = option(command)
    text = "Calls may say how many steps each sample has."
    return click.option("--lengths", is_flag=True, help=text)(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="snncc")
def snncc() -> None:
    """Compile spiking neural networks to C or CUDA, train them and run them.

    SOURCE is file.py:name, a network in a Python file (an nn.Module, or a class or function without
    arguments that makes one), or a file of another system (.nir). FOLDER is a compiled model.
    """


@snncc.command("compile")
@click.argument("source")
@click.option("-o", "--out", type=OUT, required=True, metavar="FOLDER", help="Where the model goes.")
@network_options
def compile_command(source: str, out: Path, **options: Any) -> None:
    """Compile a network to a model folder.

    For example: snncc compile models/mnist_mlp.py:net -o build/mnist --loss cross_entropy:mem
    --optimizer adam --lr 5e-4
    """
    from .commands.compile import compile_source
    from .commands.options import Choices

    click.echo(compile_source(source, out, Choices(**options)))


@snncc.command("run")
@FOLDER
@click.argument("arrays", metavar="IN.NPZ", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=OUT, required=True, metavar="OUT.NPZ", help="Where the outputs go.")
@click.option(
    "--num-steps", type=int, metavar="T", help="Where no input has a time axis; default: as compiled."
)
@click.option("--profile", is_flag=True, help="Also show where the time goes, kernel by kernel.")
def run_command(folder: Path, arrays: Path, out: Path, num_steps: int | None, profile: bool) -> None:
    """Run a model on arrays in a file.

    IN.NPZ holds the inputs under their names, [T, B, *features], or [B, *features] for an input that
    is the same at every step; and, if wanted, initial states under theirs, [B, *features].
    OUT.NPZ gets the outputs under their names, [T, B, *features], and the final states under their
    names with _next behind.
    """
    from .commands.run import run_model

    click.echo(run_model(folder, arrays, out, num_steps, profile))


@snncc.command("train")
@FOLDER
@click.argument("samples", metavar="DATA.NPZ", type=click.Path(path_type=Path))
@click.option("--epochs", type=int, default=1, show_default=True)
@click.option("--batch-size", type=int, default=128, show_default=True)
@click.option("--lr", type=float, metavar="X", help="Learning rate; default: as compiled.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of samples.")
@click.option(
    "--num-steps", type=int, metavar="T", help="Where no input has a time axis; default: as compiled."
)
@click.option(
    "--validation", type=click.Path(path_type=Path), metavar="FILE", help="Held-out data, as DATA.NPZ."
)
@click.option(
    "-o", "--out", type=OUT, metavar="FOLDER", help="Where the trained model goes; default: back to FOLDER."
)
def train_command(folder: Path, samples: Path, out: Path | None, **options: Any) -> None:
    """Train a model on arrays in a file, and save it.

    DATA.NPZ holds the inputs under their names (or one as x), [N, *features] or [T, N, *features], and
    targets y: classes [N], or numbers.
    """
    from .commands.train import train_model

    click.echo(train_model(folder, samples, out, **options))


@snncc.command("inspect")
@click.argument("source", metavar="SOURCE|FOLDER")
@click.option("--after", metavar="PASS", help="The graph after a pass; 'trace' is before any.")
@click.option("--entry", metavar="NAME", help="Of which: forward (default), backward, train or evaluate.")
@click.option("--memory", is_flag=True, help="The memory plan, and the peak in bytes.")
@click.option("--program", is_flag=True, help="The lowered program.")
@click.option("--c", "c", is_flag=True, help="The generated C.")
@click.option("--cost", is_flag=True, help="Operations, bytes and time of each kernel, before it runs.")
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    help="Samples, for --cost and --memory.",
)
@click.option(
    "--density",
    multiple=True,
    metavar="[LAYER=]X",
    help="Share of inputs and neurons that are not 0, for --cost; 0.1 if not given.",
)
@click.option("--svg", type=OUT, metavar="FILE", help="Draw the network: layers, shapes, states and delays.")
@network_options
def inspect_command(
    source: str,
    after: str | None,
    entry: str | None,
    memory: bool,
    program: bool,
    c: bool,
    cost: bool,
    batch: int,
    density: tuple[str, ...],
    svg: Path | None,
    **options: Any,
) -> None:
    """Show a network or a model: a summary, or any stage of its compilation."""
    from .commands.inspect import View, inspect_source
    from .commands.options import Choices

    view = View(after, entry, memory, program, c, cost, batch, density, svg)
    text = inspect_source(source, view, Choices(**options))
    click.echo(text.rstrip("\n"))


@snncc.command("export")
@click.argument("source")
@click.option("--nir", type=OUT, metavar="FILE", help="As a NIR file.")
@click.option("--onnx", type=OUT, metavar="FILE", help="One step, with its states, as an ONNX file.")
@network_options
def export_command(source: str, nir: Path | None, onnx: Path | None, **options: Any) -> None:
    """Write a network as a file that other systems read.

    What the file's format cannot express is refused by name. --dt and what else NIR leaves open say how the
    file will be read.
    """
    from .commands.export import export_source
    from .commands.options import Choices

    click.echo(export_source(source, nir, onnx, Choices(**options)))


@snncc.command("check")
@click.argument("source")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Samples to compare on.")
@network_options
def check_command(source: str, batch: int, **options: Any) -> int:
    """Compare the compiled network with the reference interpreter, layer by layer.

    Both get the same random inputs, initial states and targets. Exit code 1 if a difference is above
    its bound.
    """
    from .commands.check import check_source
    from .commands.options import Choices

    report = check_source(source, batch, Choices(**options))
    click.echo(report.text)
    return 0 if report.sound else 1


@snncc.command("doctor")
def doctor_command() -> int:
    """Say what this machine has for compiling models, and what to do about what is missing."""
    from .commands.doctor import examine

    report = examine()
    click.echo(report.text)
    return 0 if report.sound else 1


if __name__ == "__main__":
    sys.exit(main())
