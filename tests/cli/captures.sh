wavenet --version
wavenet --help
wavenet train --help
wavenet generate --help
wavenet vocode --help
wavenet play --help
wavenet studio --help
wavenet demo --help
wavenet evaluate --help
wavenet plot --help
wavenet runs --help
wavenet info --help
wavenet receptive-field --help
wavenet presets --help
wavenet settings --help
wavenet cache --help
wavenet bench --help
wavenet presets
wavenet presets tiny
wavenet settings
wavenet settings steps --config tiny
wavenet receptive-field paper
wavenet receptive-field small paper music
wavenet receptive-field r9y9-mulaw256 --set model.dilations=[1,3,9,27]
wavenet train speech --config test.toml --out runs/a --cache cache --dry-run
wavenet train speech --config test.toml --out runs/a --cache cache
wavenet train --out runs/a --cache cache
wavenet train speech --config test.toml --set model.layers=4 --out runs/b --cache cache --verbose
wavenet train speech/0.wav speech/1.wav --config test.toml --cache cache
wavenet generate runs/a --seconds 0.5 --seed 7 --count 2 -o new/clip.wav
wavenet generate runs/a --seconds 0.5 --seed 7 -o new/clip-1.wav
wavenet generate voices.safetensors --seconds 0.5 --seed 7 --label bob --prompt speech/0.wav --keep-prompt -o bob.wav
wavenet generate runs/a --seconds 0.5 --seed 7 -o quiet.wav --quiet
wavenet vocode vocoder.safetensors speech --seed 7 -o vocoded/
wavenet play instrument.safetensors "C5:0.3 E5 -:0.2 G4@100" --seed 7 -o played.wav
wavenet play instrument.safetensors "C5 H4"
wavenet evaluate runs/a speech --cache cache
wavenet evaluate vocoder.safetensors speech/0.wav --cache cache
wavenet plot runs
wavenet runs
wavenet runs runs/a runs/b
wavenet info runs/a
wavenet info demo-voice
wavenet info new/clip-1.wav speech/0.wav
wavenet info test.toml
wavenet receptive-field runs/a --on speech --cache cache
wavenet cache --cache cache
wavenet cache speech --cache cache --clear
wavenet demo speech --out runs/demo --steps 2 --cache cache
wavenet bench test.toml
wavenet train speech --lr 3
wavenet presets smal
