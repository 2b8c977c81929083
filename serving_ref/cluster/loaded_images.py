"""Which images a cluster was given, so that nodes which come later get them too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from serving_ref.cluster.folders import cache_folder
from serving_ref.cluster.images import ImageArchive
from serving_ref.cluster.layers import BlobStore

if TYPE_CHECKING:
    from serving_ref.cluster.record import ClusterFolder


def write_image(folder: ClusterFolder, archive: ImageArchive) -> None:
    """Remember an image of this cluster."""
    images = folder.root / "images"
    images.mkdir(exist_ok=True)
    document = {
        "reference": archive.reference,
        "blobs": [archive.digest, *(blob.digest for blob in archive.blobs)],
    }
    half = images / "image.new"
    half.write_text(json.dumps(document))
    half.replace(images / f"{archive.digest.removeprefix('sha256:')}.json")


def read_images(folder: ClusterFolder) -> list[ImageArchive]:
    """The images of this cluster whose blobs are still in the cache."""
    store, found = BlobStore(cache_folder() / "blobs"), []
    for path in sorted((folder.root / "images").glob("*.json")):
        document = json.loads(path.read_text())
        blobs = [blob for digest in document["blobs"] if (blob := store.find(digest)) is not None]
        if len(blobs) == len(document["blobs"]):
            found.append(ImageArchive(document["reference"], blobs[0], tuple(blobs[1:])))
    return found
