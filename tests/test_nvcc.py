"""Finding nvcc, its architectures, building with it, and what is said where something is missing."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from snncc import nvcc, store
from snncc.errors import CompileError
from snncc_runtime import cuda
from tests import cuda_host

ROOT = Path(__file__).parents[1]
DECLARATIONS = "int model_run(int n, int *result);\n"
SOURCES = {
    "model.h": f'#ifdef __cplusplus\nextern "C"\n#endif\n{DECLARATIONS}',
    "model.cu": """
#include <snncc/cuda/launch.h>

#include "model.h"

__global__ void count(int n, int *result)
{
    atomicAdd(result + (n == 7), 1);
}

int model_run(int n, int *result)
{
    int *device;
    cudaMalloc(&device, sizeof(int));
    cudaMemset(device, 0, sizeof(int));
    SNNCC_LAUNCH(count, n, 32, 0, nullptr, n, device);
    cudaMemcpy(result, device, sizeof(int), cudaMemcpyDeviceToHost);
    cudaFree(device);
    return cudaGetLastError();
}
""",
}


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No nvcc of this machine is seen, nor a device; the folder that holds a PATH and a cache."""
    for name in ("CUDACXX", "CUDA_HOME", "CUDA_PATH", "NVCC_CCBIN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "g++"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or pytest.fail(f"no {tool}"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(nvcc, "DEFAULT_PLACE", str(tmp_path / "nowhere"))
    monkeypatch.setattr(nvcc.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(cuda, "driver", lambda: None)
    monkeypatch.setenv("SNNCC_CACHE", str(tmp_path / "cache"))
    nvcc._find_nvcc.cache_clear()
    yield tmp_path
    nvcc._find_nvcc.cache_clear()


def toolkit(folder: Path, release: str = "13.0", end: str = "exit 2") -> Path:
    """A toolkit whose nvcc answers as NVIDIA's, but cannot compile."""
    program = folder / "bin" / "nvcc"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(
        f"""#!/bin/sh
case "$1" in
--version) echo "Cuda compilation tools, release {release}, V{release}.88";;
--list-gpu-code) for n in 50 75 80 86 90 100 120 121; do echo sm_$n; done;;
*) {end};;
esac
"""
    )
    program.chmod(0o755)
    return program


# Finding it


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch, apart: Path) -> None:
    """From the last place to the first: each is found although the ones before it are there."""
    packages = apart / "site" / "nvidia"
    found = [toolkit(packages / "cu13")]
    (packages / "cu13" / "lib").mkdir()
    (packages / "cu13" / "lib" / "libcudart_static.a").touch()
    spec = type("Spec", (), {"submodule_search_locations": [str(packages)]})
    monkeypatch.setattr(nvcc.importlib.util, "find_spec", lambda name: spec if name == "nvidia" else None)
    assert nvcc.find_nvcc().path == str(found[-1])
    assert nvcc.find_compiler().private == ("-L", str(packages / "cu13" / "lib"))
    monkeypatch.setattr(nvcc, "DEFAULT_PLACE", str(apart / "usual"))
    for name, variable in {"usual": "", ".": "", "path": "CUDA_PATH", "home": "CUDA_HOME"}.items():
        found.append(toolkit(apart / name))
        if variable:
            monkeypatch.setenv(variable, str(apart / name))
        nvcc._find_nvcc.cache_clear()
        assert nvcc.find_nvcc().path == str(found[-1])
    monkeypatch.setenv("CUDACXX", str(found[0]))
    assert nvcc.find_nvcc().path == str(found[0])


def test_no_nvcc_names_the_places_and_the_remedy(monkeypatch: pytest.MonkeyPatch, apart: Path) -> None:
    monkeypatch.setenv("CUDA_HOME", str(apart / "empty"))
    with pytest.raises(CompileError) as caught:
        nvcc.build(SOURCES, name="model", declarations=DECLARATIONS)
    message = str(caught.value)
    assert f"no nvcc found (tried CUDA_HOME={apart / 'empty'}: not found; PATH: not found; " in message
    assert 'pip install "cuda-toolkit[nvcc,cudart,cccl]==13.0.*"' in message
    assert not (apart / "cache").exists()


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("exit 3", "exit status 3"),
        ("echo something", "does not say its version"),
        ('echo "release 11.8, V11.8.89"', "11.8.89 .* is too old: snncc needs CUDA 12.0"),
        (None, "not found"),
    ],
)
def test_an_nvcc_that_is_none_is_not_passed_over(
    text: str | None, finding: str, monkeypatch: pytest.MonkeyPatch, apart: Path
) -> None:
    toolkit(apart)    # on PATH, and sound
    program = apart / "broken"
    if text is not None:
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    monkeypatch.setenv("CUDACXX", str(program))
    with pytest.raises(CompileError, match=finding):
        nvcc.find_nvcc()


def test_nvcc_needs_a_host_compiler(monkeypatch: pytest.MonkeyPatch, apart: Path) -> None:
    toolkit(apart)
    monkeypatch.setenv("NVCC_CCBIN", "my-g++")
    with pytest.raises(CompileError, match=r"needs a C\+\+ compiler .* my-g\+\+ is not found: `apt inst"):
        nvcc.find_nvcc()
    (apart / "bin" / "g++").unlink()
    monkeypatch.delenv("NVCC_CCBIN")
    with pytest.raises(CompileError, match=r"and g\+\+ is not found"):
        nvcc.find_nvcc()


# Architectures


def gencode(*pairs: tuple[int, str]) -> tuple[str, ...]:
    return tuple(word for n, code in pairs for word in ("-gencode", f"arch=compute_{n},code={code}"))


EVERY = gencode(
    *((n, f"sm_{n}") for n in (75, 80, 90, 100)), (120, "[sm_120,compute_120]")
)    # fmt: skip
MANY = ("--threads", "0")


@pytest.mark.parametrize(
    ("arch", "devices", "flags"),
    [
        (None, [], (*EVERY, *MANY)),
        ("all", [(9, 0)], (*EVERY, *MANY)),
        (None, [(9, 0), (9, 0)], gencode((90, "sm_90"))),
        (None, [(9, 0), (8, 6)], (*gencode((86, "sm_86"), (90, "sm_90")), *MANY)),
        (None, [(13, 0)], (*EVERY, *MANY)),    # newer than nvcc: it runs the PTX
        ("sm_90", [], gencode((90, "sm_90"))),
        ("9.0, 121,sm_75", [], (*gencode((75, "sm_75"), (90, "sm_90"), (121, "sm_121")), *MANY)),
    ],
)
def test_architectures_are_those_of_the_machine_or_all(
    arch: str | None, devices: list[tuple[int, int]], flags: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch, apart: Path,
) -> None:    # fmt: skip
    toolkit(apart)
    found = cuda.Driver((13, 0), tuple(cuda.Device("GPU", capability, 1, 1) for capability in devices))
    monkeypatch.setattr(cuda, "driver", lambda: found)
    assert nvcc.architecture_flags(nvcc.find_nvcc(), arch) == flags


@pytest.mark.parametrize("arch", ["sm_70", "sm_50", "compute_90", "hopper", "", "sm_90,"])
def test_an_unknown_architecture_is_refused(arch: str, apart: Path) -> None:
    toolkit(apart)
    with pytest.raises(CompileError, match=r"no code for '.*'; expected .* of sm_75, .*, sm_121, or \"all\""):
        nvcc.build(SOURCES, name="model", declarations=DECLARATIONS, arch=arch)


# Building


def test_what_nvcc_refuses_is_kept(apart: Path) -> None:
    program = toolkit(apart, end='echo "model.cu(7): error: identifier is undefined"; exit 1')
    with pytest.raises(CompileError) as caught:
        nvcc.build(SOURCES, name="model", declarations=DECLARATIONS, arch="sm_90")
    assert "the CUDA compiler failed: model.cu(7): error: identifier is undefined; the" in str(caught.value)
    (kept,) = (apart / "cache").glob("failed-model-*")
    assert (kept / "model.cu").read_text() == SOURCES["model.cu"]
    assert (kept / "build.log").read_text().startswith(f"{program} -std=c++17 -O3 --fmad=false ")


def test_a_library_for_the_host_is_built_cached_and_called() -> None:
    compiler = cuda_host.compiler()
    first, second = (
        nvcc.build(SOURCES, name="model", declarations=DECLARATIONS, compiler=compiler) for _ in range(2)
    )
    assert (first.cached, second.cached) == (False, True)
    assert set(first.files) == {"model.cu", "model.h", "libmodel.so", "_binding.py"}
    assert not any(str(ROOT) in word for word in first.command)
    result = ctypes.c_int()
    assert ctypes.CDLL(str(first.folder / first.library)).model_run(3, ctypes.byref(result)) == 0
    assert result.value == 96


def test_a_sanitized_library_is_loaded_by_python() -> None:
    built = nvcc.build(
        SOURCES, name="model", declarations=DECLARATIONS, compiler=cuda_host.compiler("address")
    )
    text = f"""
import ctypes, sys
run = ctypes.CDLL({str(built.folder / built.library)!r}).model_run
result = ctypes.c_int()
assert run(6, ctypes.byref(result)) == 0 and result.value == 192
run(7, ctypes.byref(result))
"""
    environment = cuda_host.environment("address")
    answer = subprocess.run(
        [sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in answer.stderr


# Driver and devices


def test_the_driver_tells_its_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuda.driver.cache_clear()
    (tmp_path / "driver.c").write_text("""
#include <stddef.h>
#include <string.h>
int cuInit(unsigned flags) { return (int)flags; }
int cuDriverGetVersion(int *version) { *version = 12040; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int index) { *device = 40 + index; return 0; }
int cuDeviceGetName(char *name, int most, int device) { strcpy(name, "Some GPU"); return device != 40; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)24 << 30; return device != 40; }
int cuDeviceGetAttribute(int *value, int which, int device)
{
    *value = which == 75 ? 8 : which == 76 ? 9 : which == 16 ? 58 : -1;
    return device != 40;
}
""")
    library = tmp_path / "libdriver.so"
    subprocess.run(["cc", "-shared", "-fPIC", tmp_path / "driver.c", "-o", library], check=True)
    monkeypatch.setattr(cuda, "LIBRARIES", (str(library),))
    found = cuda.driver()
    cuda.driver.cache_clear()
    assert found == cuda.Driver((12, 4), (cuda.Device("Some GPU", (8, 9), 24 << 30, 58),))
    assert str(found.devices[0]) == "Some GPU (sm_89, 24 GiB)"


@pytest.mark.parametrize(
    ("code", "found", "sentence"),
    [
        (35, None, "no NVIDIA driver is installed .libcuda.so.1 is missing.: install it"),
        (35, cuda.Driver((12, 4), ()), "knows CUDA 12.4, and the model needs CUDA 13.0: update the driver"),
        (100, cuda.Driver((13, 0), (), 100), "CUDA error 100 .no device.: no CUDA device is visible"),
        (209, cuda.Driver((13, 0), (cuda.Device("GPU", (8, 9), 1, 1),)), 'compile it with arch="sm_89"'),
        (2, None, "too little free memory"),
        (719, None, "^CUDA error 719 .no device.$"),
    ],
)
def test_a_cuda_error_says_what_to_do(
    code: int, found: cuda.Driver | None, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "driver", lambda: found)
    with pytest.raises(ValueError, match=sentence):
        raise ValueError(cuda.explain(code, "no device", (13, 0)))


# The real nvcc


def test_kernels_compile_with_the_real_nvcc_without_a_warning(tmp_path: Path) -> None:
    try:
        found = nvcc.find_compiler("sm_90")
    except CompileError as error:
        pytest.skip(f"NOTHING WAS COMPILED FOR A GPU: {error}")
    strict = ("-Werror", "all-warnings", "-Xptxas", "-warn-spills,-warn-double-usage,-Werror")
    command = (
        *(*found.program, *found.flags, *found.private, *strict, "-I", cuda_host.INCLUDE),
        *(ROOT / "tests" / "cuda" / "cases.cu", "-o", tmp_path / "cases.so"),
    )
    answer = store.run(tuple(map(str, command)), tmp_path)
    assert (answer.returncode, answer.stdout) == (0, "")
