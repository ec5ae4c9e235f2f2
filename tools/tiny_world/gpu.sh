#!/bin/bash
# The models that were trained on a GPU, in the order and with the minutes that MODEL_CARD.md tells. It goes on from the files
# in assets/models and writes the new ones there. Clips are rendered by the CPU's cores beside the training.
#
#     tools/tiny_world/gpu.sh FOLDER data      # until the machine is stopped: clips for the rest to train on
#     tools/tiny_world/gpu.sh FOLDER train     # about ten minutes on an H100
set -euo pipefail
folder=$1
tiny="${PYTHON:-python3} -m tools.tiny_world --folder $folder"
card="--device cuda"

data() {
    $tiny unpack
    $tiny encode held_out --seeds 901000:901032 $card
    $tiny encode train --seeds 0:"${FIRST_CLIPS:-800}" $card
    $tiny train causal-decoder --minutes 0.02 --of 1.5 $card # renders its clips
    $tiny encode long --seeds 5000:5060 --frames 201 $card
    $tiny encode train --seeds 0:4000 $card
}

train() {
    $tiny train causal-decoder --minutes "${DECODER:-1.5}" --of "${DECODER:-1.5}" $card &
    decoder=$!
    $tiny train world --minutes "${WORLD_1:-1.4}" --of "${WORLD:-3.5}" --batch "${WORLD_BATCH:-32}" $card
    wait $decoder
    $tiny train world --minutes "${WORLD_2:-2.1}" --of "${WORLD:-3.5}" --batch "${WORLD_BATCH:-32}" $card
    $tiny export
    $tiny train causal-world --minutes "${CAUSAL:-0.85}" --batch "${CAUSAL_BATCH:-32}" $card
    $tiny export
    $tiny train student --minutes "${STUDENT:-1.6}" --batch "${STUDENT_BATCH:-24}" $card
    $tiny export
    $tiny drafts train --clips "${DRAFTS:-512}" $card
    $tiny drafts held_out --clips 64 $card
    $tiny train refiner --minutes "${REFINER:-0.7}" --batch "${REFINER_BATCH:-48}" $card
    $tiny export
}

"$2"
