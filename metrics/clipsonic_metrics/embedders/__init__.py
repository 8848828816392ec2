"""Embedders by name. Each entry is `module:attribute`, a function of (weights, listening) that finds the embedder: None
for weights are those that ship or were fetched, None for listening is the embedder's own way.

Nothing is imported before it is asked for: naming an embedder costs nothing, and listing them loads no weights. Finding
one reads what decides its protocol, the digest of the weights above all; its network is built when it must embed.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsonic_metrics.errors import MetricsError

if TYPE_CHECKING:
    from clipsonic_metrics.listening import Listening

EMBEDDERS = {
    "microworld-clap": "clipsonic_metrics.embedders.microworld:load_clap",
    "microworld-clip": "clipsonic_metrics.embedders.microworld:load_clip",
    "microworld-wav2clip": "clipsonic_metrics.embedders.microworld:load_wav2clip",
    "microworld-probe": "clipsonic_metrics.embedders.microworld:load_probe",
    "vggish": "clipsonic_metrics.embedders.vggish:load_vggish",
    "vggish-relu": "clipsonic_metrics.embedders.vggish:load_vggish_relu",
    "panns-cnn14-16k": "clipsonic_metrics.embedders.panns:load_cnn14_16k",
    "panns-cnn14-32k": "clipsonic_metrics.embedders.panns:load_cnn14_32k",
    "passt": "clipsonic_metrics.embedders.passt:load_passt",
    "encodec-24k": "clipsonic_metrics.embedders.encodec:load_encodec_24k",
    "encodec-48k": "clipsonic_metrics.embedders.encodec:load_encodec_48k",
    "laion-clap-630k-audioset": "clipsonic_metrics.embedders.laion_clap:load_630k_audioset",
    "laion-clap-630k-audioset-fusion": "clipsonic_metrics.embedders.laion_clap:load_630k_audioset_fusion",
    "laion-clap-music": "clipsonic_metrics.embedders.laion_clap:load_music",
    "laion-clap-music-speech-audioset": "clipsonic_metrics.embedders.laion_clap:load_music_speech_audioset",
    "clap": "clipsonic_metrics.embedders.clap:load_clap",
    "clap-fused": "clipsonic_metrics.embedders.clap:load_clap_fused",
    "wav2clip": "clipsonic_metrics.embedders.wav2clip:load_wav2clip",
    "open-clip": "clipsonic_metrics.embedders.open_clip:load_folder",
    "open-clip-vit-b-32": "clipsonic_metrics.embedders.open_clip:load_vit_b_32",
    "open-clip-vit-l-14": "clipsonic_metrics.embedders.open_clip:load_vit_l_14",
}

NOT_OFFERED = {
    "ms-clap": "its package (msclap 1.3.4) needs numpy below 2 and transformers below 5",
    "openl3": "it needs TensorFlow, and its port to torch (torchopenl3) has not been released since 2022",
}
"""What users may look for, and why it is not here."""


def load_embedder(name: str, weights: Path | None = None, listening: Listening | None = None) -> Any:
    """The embedder of that name, with its own weights and its own way of listening, or others, ready to embed.

    Which of the interfaces of `embedder.py` it has depends on the embedder.

    Raises:
        MetricsError: what `find_embedder` raises, or weights that do not fit or have collapsed.
    """
    from clipsonic_metrics.embedder import Built

    found = find_embedder(name, weights, listening)
    if isinstance(found, Built):
        found.build()
    return found


def find_embedder(name: str, weights: Path | None = None, listening: Listening | None = None) -> Any:
    """The embedder of that name as `load_embedder` gives it, but its network is built when it first embeds: enough
    where all is in the cache.

    Raises:
        MetricsError: unknown name (near names and all names offered), weights that are absent or not as recorded, or
            a way of listening that its network cannot take.
    """
    if name in NOT_OFFERED:
        raise MetricsError(f"there is no embedder {name}: {NOT_OFFERED[name]}; there are {', '.join(EMBEDDERS)}")
    if name not in EMBEDDERS:
        near = get_close_matches(name, EMBEDDERS, n=2)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise MetricsError(f"unknown embedder {name!r}; {hint}there are {', '.join(EMBEDDERS)}")
    module, attribute = EMBEDDERS[name].split(":")
    return getattr(import_module(module), attribute)(weights, listening)


def takes(name: str) -> tuple[str, ...]:
    """What the embedder of that name takes (sounds, images, texts), and "logits" where it is a classifier of sounds.

    Nothing is loaded: it is read off the class that its loader says it returns, and is empty where that says none.
    """
    module, attribute = EMBEDDERS[name].split(":")
    imported = import_module(module)
    made = getattr(imported, getattr(imported, attribute).__annotations__.get("return", ""), None)
    return tuple(what for what, method in _METHODS.items() if hasattr(made, method))


_METHODS = {
    "sounds": "embed_sounds",
    "images": "embed_images",
    "texts": "embed_texts",
    "logits": "classify_sounds",
}
