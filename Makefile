# make demo    set-up, then the whole pipeline on the embedded sample (under 5 minutes on 2 cores after the installs)
# make demo-images  the same for images: pretrain without labels, finetune, evaluate, export, predict
# make demo-tabular  the same for rows of tables: a network, boosted trees, whether one is better, export, predict
# make demo-recommend  what comes next for whom: all kinds compared, one exported, asked with reasons (under 2 minutes)
# make demo-text  language models: one that writes and one that fills masks, exported, asked, served
# make serve   set-up, then the model that comes with bmtool at http://127.0.0.1:8000/
# make transcripts  runs every command that the READMEs and docs show, and writes back what comes
# make install-server VENV=DIR  what translate, predict and serve need and nothing else, without PyTorch; then DIR/bin/bmtool serve
# make release  the tests, then sdist and wheel in dist/, the wheel tried in a fresh environment, and what to tag; uploads nothing
# make test    set-up, then the test suite (some 6 minutes on 2 cores)
# make stress  set-up, then everything that tries to break bmtool, with a table at the end (hours; STRESS="kills --sample 50" does less)
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := runs/demo
TUNED := runs/demo-customer-service
SENTENCE := jin tian de tian qi zhen hao, wo men qu chi fan ba!
LAST := zhejianshi zuotian shei ye mei xiangdao, jiuxiang tianshang diao xialai de yiyang.
QUESTION := nin hao, qing wen wo de ding dan shen me shi hou fa huo?

# make pretrained TEXT=...   the model that comes with bmtool, from your text (hours)
.PHONY: setup demo demo-images demo-tabular demo-recommend demo-text serve install-server pretrained test test-all stress lint release benchmark transcripts clean-demo
setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "== set-up: a virtual environment in $(VENV), with everything installed from the package registry"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[serve,test]'
	@touch $@

demo: setup clean-demo
	@echo; echo "== 1. prepare-data: our own sample sentences, cleaned, split, labelled with pinyin, indexed"
	$(BIN)/bmtool prepare-data configs/pinyin2hanzi/tiny.yaml
	@echo; echo "== 2. pretrain: a small tagger from scratch"
	$(BIN)/bmtool pretrain configs/pinyin2hanzi/tiny.yaml --set run=$(RUN)
	@echo; echo "== 3. evaluate: on sentences it has not seen, with confidence intervals and a quality gate"
	$(BIN)/bmtool evaluate $(RUN) --require "character_accuracy>=0.5"
	@echo; echo "== 4. finetune: from that run, on 200 customer-service pairs"
	$(BIN)/bmtool prepare-data configs/pinyin2hanzi/customer_service.yaml --set data.vocabulary=$(RUN)
	$(BIN)/bmtool finetune configs/pinyin2hanzi/customer_service.yaml --from $(RUN) --set data.vocabulary=$(RUN) --set run=$(TUNED)
	@echo; echo "== 5. evaluate: is it better on customer service than the run it came from?"
	$(BIN)/bmtool evaluate $(TUNED) --baseline $(RUN)
	@echo; echo "== 6. export-onnx: compared with PyTorch before it is kept"
	$(BIN)/bmtool export-onnx $(RUN)
	@echo; echo "== 7. translate: with the run, then with its ONNX export (no PyTorch needed)"
	@echo "$(SENTENCE)"; $(BIN)/bmtool translate --model $(RUN) "$(SENTENCE)"
	@echo "$(SENTENCE)"; $(BIN)/bmtool translate --model $(RUN)/export/model.onnx "$(SENTENCE)"
	@echo "$(QUESTION)"; $(BIN)/bmtool translate --model $(TUNED) "$(QUESTION)"
	@echo; echo "== 8. translate: with the model that comes with bmtool"
	@echo "$(LAST)"; $(BIN)/bmtool translate "$(LAST)"
	@echo; echo "== done"
	@echo "run directory  $(RUN)  (finetuned: $(TUNED))"
	@echo "plots          $$(echo $(RUN)/plots/*.png)"
	@echo "report         $(RUN)/eval/test.md"
	@echo "ONNX model     $(RUN)/export/model.onnx"

# The model that comes with bmtool, from text: `make pretrained TEXT='corpus/*.txt.xz'`; some hours. It goes on where it stopped.
TEXT ?= data/corpus
PRETRAINED := bmtool/pretrained/pinyin2hanzi
pretrained: setup
	$(BIN)/bmtool prepare-data configs/pinyin2hanzi/base.yaml --set 'data.sources=[$(TEXT)]'
	$(BIN)/bmtool pretrain configs/pinyin2hanzi/base.yaml --set 'data.sources=[$(TEXT)]'
	rm -f $(PRETRAINED)/sums.json $(PRETRAINED)/*.safetensors  # of the model before
	$(BIN)/bmtool export-onnx runs/pinyin2hanzi-base --int8 --output $(PRETRAINED)/model.onnx

IMAGES := runs/demo-images
DIGITS := configs/image-classification/digits.yaml
demo-images: setup
	@rm -rf $(IMAGES)
	@echo; echo "== 1. prepare-data: scikit-learn's digits, 1,797 images of 8 x 8 pixels"
	$(BIN)/bmtool prepare-data $(DIGITS)
	@echo; echo "== 2. pretrain an autoencoder: no label is looked at"
	$(BIN)/bmtool pretrain configs/autoencoder/digits.yaml --set run=$(IMAGES)/autoencoder
	@echo; echo "== 3. finetune: its encoder becomes a classifier"
	$(BIN)/bmtool finetune $(DIGITS) --from $(IMAGES)/autoencoder --set run=$(IMAGES)/classifier
	@echo; echo "== 4. evaluate: on images it has not seen, with a quality gate"
	$(BIN)/bmtool evaluate $(IMAGES)/classifier --require "accuracy>=0.97"
	@echo; echo "== 5. export-onnx, and predict without PyTorch"
	$(BIN)/bmtool export-onnx $(IMAGES)/classifier
	$(BIN)/bmtool predict $(IMAGES)/classifier/export/model.onnx data/images/digits --top 3
	@echo; echo "== 6. predict --explain: where the evidence lies"
	$(BIN)/bmtool predict $(IMAGES)/classifier data/images/digits --top 1 --explain $(IMAGES)/why.png
	@echo; echo "== done"
	@echo "reconstructions  $(IMAGES)/autoencoder/plots/reconstructions.png"
	@echo "mistakes         $(IMAGES)/classifier/eval/test.mistakes.png"
	@echo "explanations     $(IMAGES)/why.png"

TABULAR := runs/demo-tabular
CANCER := configs/tabular/breast-cancer
demo-tabular: setup
	@rm -rf $(TABULAR)
	@echo; echo "== 1. prepare-data: 569 rows of 30 numbers that come with scikit-learn, and the diagnosis to be learned"
	$(BIN)/bmtool prepare-data $(CANCER).yaml
	@echo; echo "== 2. pretrain: a network"
	$(BIN)/bmtool pretrain $(CANCER).yaml --set run=$(TABULAR)/network
	@echo; echo "== 3. pretrain: boosted trees, which a network has to be better than"
	$(BIN)/bmtool pretrain $(CANCER)-boosting.yaml --set run=$(TABULAR)/trees
	@echo; echo "== 4. evaluate: is the network better, and what does a mistake cost?"
	$(BIN)/bmtool evaluate $(TABULAR)/network --baseline $(TABULAR)/trees --require "auc>=0.95"
	@echo; echo "== 5. export-onnx: compared with PyTorch before it is kept"
	$(BIN)/bmtool export-onnx $(TABULAR)/network
	$(BIN)/bmtool export-onnx $(TABULAR)/trees
	@echo; echo "== done"
	@echo "what each column matters  $(TABULAR)/network/eval/test.importance.png"

SHOP := runs/demo-recommend
SHOP_CONFIG := configs/recommendation/shop.yaml
demo-recommend: setup
	@rm -rf $(SHOP) $(SHOP)-baselines
	@echo; echo "== 1. prepare-data: the orders of a made-up shop, each user's last one kept for the test"
	$(BIN)/bmtool prepare-data $(SHOP_CONFIG)
	@echo; echo "== 2. compare: what follows what and what goes with what as one model, beside every other kind"
	$(BIN)/bmtool compare $(SHOP_CONFIG) --set run=$(SHOP)
	@echo; echo "== 3. evaluate: is it better than what is popular?"
	$(BIN)/bmtool evaluate $(SHOP) --baseline $(SHOP)-baselines/popularity --require "ndcg@10>=0.6"
	@echo; echo "== 4. export-onnx: one file, asked without PyTorch, with reasons"
	$(BIN)/bmtool export-onnx $(SHOP)
	$(BIN)/bmtool predict $(SHOP)/export/model.onnx --history BA01,BA02 --top 3
	$(BIN)/bmtool predict $(SHOP)/export/model.onnx --user "user 7" --top 3 --json
	$(BIN)/bmtool predict $(SHOP)/export/model.onnx --users all --output $(SHOP)/everybody.csv
	@echo; echo "== done"
	@echo "the page         $(BIN)/bmtool serve $(SHOP)/export/model.onnx"

TEXT_RUNS := runs/demo-text
LANGUAGE := configs/language-model/tiny
WRITER := $(TEXT_RUNS)/writer
demo-text: setup
	@rm -rf $(TEXT_RUNS)
	@echo; echo "== 1. prepare-data: characters of our own sample sentences, packed into one stream"
	$(BIN)/bmtool prepare-data $(LANGUAGE).yaml
	@echo; echo "== 2. pretrain: a small GPT learns what comes next"
	$(BIN)/bmtool pretrain $(LANGUAGE).yaml --set run=$(WRITER)
	@echo; echo "== 3. evaluate: bits for a character of text that it has not seen"
	$(BIN)/bmtool evaluate $(WRITER) --require "bits_per_character<=8.7"
	@echo; echo "== 4. generate: with the run, then with its ONNX export (no PyTorch needed)"
	$(BIN)/bmtool generate $(WRITER) "今天" --max-tokens 30
	$(BIN)/bmtool export-onnx $(WRITER)
	$(BIN)/bmtool generate $(WRITER)/export/model.onnx "今天" --max-tokens 30
	$(BIN)/bmtool generate $(WRITER)/export/model.onnx "今天天气" --choices 很好,书本
	@echo; echo "== 5. export-hf: a directory that transformers loads, and that is asked as it is"
	$(BIN)/bmtool export-hf $(WRITER) $(TEXT_RUNS)/hf
	$(BIN)/bmtool generate $(TEXT_RUNS)/hf "今天" --max-tokens 30
	@echo; echo "== 6. a small BERT learns what stands under a mask (24,000 characters teach it little: encoder.yaml is for more)"
	$(BIN)/bmtool prepare-data $(LANGUAGE)-masked.yaml
	$(BIN)/bmtool pretrain $(LANGUAGE)-masked.yaml --set run=$(TEXT_RUNS)/masked
	$(BIN)/bmtool predict $(TEXT_RUNS)/masked "今天天[MASK]很好" --top 3
	@echo; echo "== 7. serve: asked over HTTP"
	$(BIN)/python .ci/ask $(WRITER)/export/model.onnx /v1/completions '{"prompt": "今天", "max_tokens": 20}'

serve: setup
	$(BIN)/bmtool serve

install-server:
	PYTHON="$(PYTHON)" .ci/install-server "$(VENV)"
	@echo "$(VENV)/bin/bmtool answers: $(VENV)/bin/bmtool serve"

clean-demo:
	@rm -rf $(RUN) $(TUNED)

test: setup
	$(BIN)/python -m pytest -m "not slow"

test-all: setup
	$(BIN)/python -m pytest

stress: setup
	PYTHONPATH=tests $(BIN)/python -m stress $(STRESS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if test -x $(BIN)/hadolint; then echo "hadolint Dockerfile"; $(BIN)/hadolint Dockerfile; fi

release: lint test-all
	PYTHON="$(PYTHON)" .ci/release $(abspath $(BIN))/python

transcripts: setup
	$(BIN)/python tests/transcripts.py

benchmark: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[benchmark]'
	$(BIN)/python benchmarks/first_success.py
	$(BIN)/python benchmarks/prepare_data.py
	$(BIN)/python benchmarks/training_speed.py
	$(BIN)/python benchmarks/busy_machine.py
	$(BIN)/python benchmarks/command_speed.py
	$(BIN)/python benchmarks/training_memory.py
	$(BIN)/python benchmarks/images.py steps
	$(BIN)/python benchmarks/images.py few-labels
	$(BIN)/python benchmarks/small_models.py teacher
	$(BIN)/python benchmarks/small_models.py prune
