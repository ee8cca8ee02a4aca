"""Layers that are not ordinary dilated convolutions: the ordinary path needs none of this.

Every kind is linear, so it equals an ordinary dilated convolution whose taps are made from its
weights. Training and generation compute with those taps: a factorised layer has fewer parameters
and learns what its form allows, but takes no fewer multiply-adds here. With R residual channels, 2G
gate channels and K taps, the weights are shaped

    groups      weight (2G, R / groups, K): each half of the gate is divided into groups like the
                residual channels, and each group of outputs reads its own group of inputs
    separable   depthwise (R, 1, K) for each channel on its own, then pointwise (2G, R, 1)
    bottleneck  reduce (B, R, 1), dilated (B, B, K), expand (2G, B, 1)
    hybrid      weight (2G, R, K): the first half of the channels of tanh and of sigmoid has
                dilation 1, the others have the layer's
    smooth      any of these, averaged over the present sample and the one before

`shapes` names the weights, `kernels` makes taps of them, `convolution` is their torch module, and
`pyramid_pooling` is a context module that may stand between the skip sum and the head.
"""
