#!/bin/bash
# What was trained on a GPU, in its order. It goes on from the files in assets/models and writes the new ones there. The clips are
# rendered by the CPU's cores beside the training, so start both and stop `data` when `train` has ended:
#
#     tools/tiny_world/gpu.sh FOLDER data &
#     tools/tiny_world/gpu.sh FOLDER train     # 13 minutes of training
set -euo pipefail
folder=$1
tiny="python3 -m tools.tiny_world --folder $folder"
card="--device cuda"

data() {
    $tiny unpack
    $tiny encode held_out --seeds 901000:901040 $card
    $tiny encode train --seeds 0:800 $card
    touch "$folder/begin"
    $tiny encode long --seeds 5000:5080 --frames 129 $card
    touch "$folder/long"
    $tiny encode train --seeds 0:4000 $card
}

wait_for() {
    until [ -e "$folder/$1" ]; do sleep 1; done
}

train() {
    wait_for begin
    $tiny train world --minutes 1.4 --of 3.5 --batch 24 $card
    $tiny train world --minutes 2.1 --of 3.5 --batch 24 $card # with the clips that are there by now
    $tiny train causal-world --minutes 1 --batch 24 $card
    wait_for long
    $tiny train student --minutes 6 --batch 24 $card
    $tiny drafts train --clips 480 $card
    $tiny drafts held_out --clips 64 $card
    $tiny train refiner --minutes 2 --batch 48 $card
    $tiny export
}

"$2"
