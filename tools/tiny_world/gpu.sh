#!/bin/bash
# What was trained on a GPU, in two lendings of a machine. Each goes on from the files in assets/models, in a folder of its own,
# and writes the new ones there. The clips are rendered by the CPU's cores beside the training, so start both and stop `data`
# when the other has ended:
#
#     tools/tiny_world/gpu.sh FOLDER data &
#     tools/tiny_world/gpu.sh FOLDER second     # or first; MODEL_CARD.md tells what each made
set -euo pipefail
folder=$1
tiny="python3 -m tools.tiny_world --folder $folder"
card="--device cuda"

data() {
    $tiny unpack
    $tiny encode held_out --seeds 901000:901040 $card
    $tiny encode train --seeds 0:800 $card
    touch "$folder/begin"
    $tiny encode train --seeds 0:4000 $card
}

begun() {
    until [ -e "$folder/begin" ]; do sleep 1; done
}

first() {
    begun
    $tiny train world --minutes 1.4 --of 3.5 --batch 24 $card
    $tiny train world --minutes 2.1 --of 3.5 --batch 24 $card # with the clips that are there by now
    $tiny train causal-world --minutes 1 --batch 24 $card
    $tiny export
}

second() { # the refiner with the levels 0.725 and 0.421875 of commit 45875da; the config has those of its last training
    begun
    $tiny train world --minutes 1.2 --of 3 --batch 24 $card
    $tiny train world --minutes 1.8 --of 3 --batch 24 $card
    $tiny drafts train --clips 1600 $card
    $tiny drafts held_out --clips 64 $card
    $tiny train refiner --minutes 1.2 --batch 32 $card
    $tiny export
}

"$2"
