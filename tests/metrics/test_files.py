"""Reading weights: wrappers and prefixes come off, nothing but tensors is unpickled, and what does not fit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from clipsonic_metrics import MetricsError
from clipsonic_metrics.embedders import files

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, 2.0])}
PREFIXED = {f"module.{name}": part for name, part in STATE.items()}


def same(found: dict[str, torch.Tensor]) -> bool:
    return set(found) == set(STATE) and all(torch.equal(found[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize(
    "official",
    [
        STATE,
        PREFIXED,
        {"state_dict": STATE, "epoch": 3},
        {"state_dict": PREFIXED, "loss": np.float64(0.5), "steps": np.int64(7), "optimizer": {"state": {0: {}}}},
        {"model": STATE, "iteration": 1},
        {"model_state_dict": STATE},
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".ckpt", ".bin"])
def test_official_wrappings_come_off(tmp_path: Path, official: dict[str, Any], suffix: str) -> None:
    torch.save(official, tmp_path / f"net{suffix}")
    assert same(files.read_state(tmp_path / f"net{suffix}"))


def test_files_of_before_the_zip_format_and_safetensors_are_read(tmp_path: Path) -> None:
    torch.save(PREFIXED, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(STATE, tmp_path / "net.safetensors")
    assert same(files.read_state(tmp_path / "old.pth")) and same(files.read_state(tmp_path / "net.safetensors"))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this ran",))


def test_nothing_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": STATE, "hook": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(MetricsError, match=r"holds more than tensors \(.*print.*\), which is not run") as error:
        files.read_state(tmp_path / "evil.pt")
    assert "\n" not in str(error.value) and not capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 not really a zip"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_no_weights_is_one_line(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(MetricsError, match="cannot be read as weights") as error:
        files.read_state(path)
    assert "\n" not in str(error.value)


def test_what_is_not_there_or_has_no_state(tmp_path: Path) -> None:
    with pytest.raises(MetricsError, match="is not a file; expected weights"):
        files.read_state(tmp_path / "absent.pt")
    (tmp_path / "net.txt").write_text("x")
    with pytest.raises(MetricsError, match="has suffix '.txt'; weights have one of"):
        files.read_state(tmp_path / "net.txt")
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    with pytest.raises(MetricsError, match="holds no state of a network"):
        files.read_state(tmp_path / "none.pt")


def test_a_state_fits_or_is_refused_by_name() -> None:
    network = torch.nn.Linear(3, 2).train()
    files.load_state(network, STATE, "net.pt")
    assert torch.equal(network.weight, STATE["weight"]) and not network.training and not network.weight.requires_grad
    for state, match in (
        ({"weight": STATE["weight"]}, r"net.pt does not fit the network: 1 missing \(bias\)"),
        (STATE | {"more": STATE["bias"]}, r"1 unexpected \(more\)"),
        (STATE | {"bias": torch.zeros(3)}, r"1 of another shape \(bias \(3,\) for \(2,\)\)"),
        (
            {f"x{index}": STATE["bias"] for index in range(9)},
            r"2 missing \(weight, bias\); 9 unexpected \(x0, x1, x2, …\)",
        ),
        (STATE | {"bias": torch.tensor([1.0, float("nan")])}, r"holds NaN or infinity in 1 tensors \(bias\)"),
    ):
        with pytest.raises(MetricsError, match=match):
            files.load_state(network, state, "net.pt")
    assert torch.equal(network.bias, STATE["bias"])
    files.load_state(network, STATE | {"stft.window": torch.zeros(4)}, "net.pt", left_out=("stft.",))


def test_half_precision_is_widened() -> None:
    network = torch.nn.Linear(3, 2)
    files.load_state(network, {name: part.half() for name, part in STATE.items()}, "net.pt")
    assert network.weight.dtype == torch.float32 and torch.equal(network.weight, STATE["weight"])


def test_a_digest_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"abc")
    assert files.digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"abcd")
    assert files.digest(path).startswith("88d4266f")
    with pytest.raises(MetricsError, match="cannot be read as weights"):
        files.digest(tmp_path / "absent.pt")
