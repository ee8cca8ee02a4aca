"""What a network is conditioned on besides the past: one file for each front end.

The WaveNet paper speaks of global conditioning (one value for a whole recording, such as its label)
and of local conditioning (frames along it, such as a mel spectrogram). Both are front ends here.

To add one: a class in a file beside `label` and `mel` that does what `front_end.FrontEnd` says, its
torch module in `modules` (`FrameEncoder` serves any frames), a line at the end of `registry`, and
its settings and channels in `config/model.py`. Training, scoring, benchmarks and all engines then
have it. A value that users may give comes in through `generation` (see `conditions`), and
`model/reference.py` shows each front end in plain PyTorch.

    recording --excerpt--> ConditioningInput --Conditioner--> Conditioning --> every layer's gates
                           host, then device                  at frame rate
"""
