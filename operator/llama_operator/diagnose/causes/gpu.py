"""The GPU, its driver, and what is compiled for it."""

from __future__ import annotations

from llama_operator.diagnose import fixes
from llama_operator.diagnose.known import KnownCause, Rank, Signature

INVISIBLE = KnownCause(
    "GPUNotVisible",
    "The container sees no GPU.",
    "The node needs driver, container toolkit and device plugin or DRA driver, and the pod the right "
    "spec.gpu.resourceName or spec.gpu.deviceClassName, and spec.runtimeClassName where nvidia is not the "
    "default runtime; for a server without GPUs set spec.engine.device to cpu.",
    (
        # source: platforms, config/device.py, torch, CUDA, NVML, HIP
        Signature(
            r"Failed to infer device type|No CUDA GPUs are available|No HIP GPUs are available"
            r"|Found no NVIDIA driver on your system|no CUDA-capable device is detected"
            r"|cudaErrorNoDevice|hipErrorNoDevice|Device string must not be empty"
            r"|libcuda\.so\.1: cannot open shared object file|NVMLError_(?:LibraryNotFound|DriverNotLoaded)"
            r"|NVML Shared Library Not Found|Torch not compiled with CUDA enabled"
            r"|Unexpected error from cudaGetDeviceCount"
            r"|Failed to initialize NVML: (?:Unknown Error|Insufficient Permissions|Driver Not Loaded)"
            r"|could not select device driver|unknown or invalid runtime name: nvidia"
            r"|nvidia-container-cli: (?:device error|initialization error)"
        ),
    ),
)
DRIVER = KnownCause(
    "DriverTooOld",
    "The node's GPU driver is older than the image's CUDA needs.",
    "Upgrade the driver, choose nodes that have it with spec.scheduling.nodeSelector, or set "
    "spec.engine.image to a build for an older CUDA.",
    (
        # source: torch, CUDA, the container toolkit
        Signature(
            r"NVIDIA driver on your system is too old \(found version (?P<version>\d+)\)",
            "The node's GPU driver (CUDA {version}) is older than the image's CUDA needs.",
        ),
        Signature(
            r"CUDA driver version is insufficient for CUDA runtime version|cudaErrorInsufficientDriver"
            r"|unsatisfied condition: (?:cuda|driver|brand)|compiled with an unsupported toolchain"
            r"|forward compatibility was attempted on non supported HW"
            r"|unsupported display driver / cuda driver combination|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"
            r"|Driver/library version mismatch"
        ),
    ),
)
ARCHITECTURE = KnownCause(
    "GPUUnsupported",
    "The image has no code for this GPU.",
    "Set spec.engine.image to a build for it, or choose other nodes with spec.gpu.product.",
    (
        # source: CUDA, torch, Triton, ptxas
        Signature(
            r"no kernel image is available for execution on the device|cudaErrorNoKernelImageForDevice"
            r"|Unsupported gpu architecture"
            r"|(?:nvcc|ptxas) fatal\s+: .*(?:sm_|compute_)\w+|hipErrorNoBinaryForGpu"
            r"|invalid device function|cudaErrorInvalidDeviceFunction"
        ),
    ),
)
FAULT = KnownCause(
    "GPUFault",
    "The GPU or a kernel on it failed.",
    "If it comes back, look for Xid and ECC errors in the node's kernel log and drain the node; if it "
    "comes with one model only, try another vLLM with spec.engine.image, or spec.engine.enforceEager.",
    (
        # source: CUDA, HIP, cuBLAS, the driver
        Signature(
            r"uncorrectable ECC error|CUDA error: (?:hardware stack error|GPU is lost|device not ready)"
            r"|GPU has fallen off the bus|cudaErrorECCUncorrectable"
            r"|NVRM: Xid|GPU is lost|Unable to determine the device handle for GPU",
            "The GPU reports a fault of its hardware.",
        ),
        Signature(
            r"illegal memory access|misaligned address|unspecified launch (?:failure|timeout)"
            r"|illegal instruction was encountered|device-side assert triggered"
            r"|Memory access fault by GPU|CUBLAS_STATUS_(?:EXECUTION_FAILED|INTERNAL_ERROR|NOT_INITIALIZED)"
            r"|CUDNN_STATUS_(?:EXECUTION_FAILED|INTERNAL_ERROR)|HSA_STATUS_ERROR"
            r"|CUDA error: unknown error|the launch timed out and was terminated",
            "A kernel failed on the GPU.",
        ),
    ),
    permanent=False,
    rank=Rank.GENERAL,
)
FABRIC = KnownCause(
    "FabricManagerDown",
    "The NVSwitch fabric of the node is not set up.",
    "Start nvidia-fabricmanager on the node, of the same version as its driver; of NVLink multicast "
    "alone NCCL_NVLS_ENABLE=0 in spec.engine.env does without.",
    (
        # source: CUDA error 802, NCCL's transport/nvls.cc
        Signature(r"system not yet initialized|cudaErrorSystemNotReady|CUDA error 802|Error 802"),
        Signature(
            r"(?:nvls|NVLS|multicast).*(?:Cuda failure|CUDA error|[Ff]ailed|not supported)",
            "NVLink multicast cannot be set up.",
            fixes.variable("NCCL_NVLS_ENABLE", "0"),
            warnings_too=True,
        ),
    ),
)
COMPILER = KnownCause(
    "CompilerMissing",
    "Kernels are to be compiled at the start, and the image lacks what that needs.",
    "Use an image with a C++ compiler (CUDA: the vendor's own), or set spec.engine.enforceEager.",
    (
        # recorded: compile-without-gxx
        Signature(
            r"InvalidCxxCompiler|No working C\+\+ compiler found",
            "The image has no C++ compiler.",
            fixes.setting("engine", enforceEager=True),
        ),
        # source: Triton, torch's extensions, FlashInfer
        Signature(
            r"Failed to find C compiler|Could not find nvcc|nvcc: (?:command )?not found"
            r"|No such file or directory: '(?:\S*/)?(?:gcc|g\+\+|c\+\+|cc|nvcc|ninja|clang\+?\+?)'"
            r"|Ninja is required to load C\+\+ extensions|fatal error: (?:Python|cuda_runtime|omp)\.h"
            r"|CUDA_HOME environment variable is not set|Ninja build failed|Error building extension"
            r"|Cannot find a working triton installation",
            "The image lacks a compiler or its headers.",
            fixes.setting("engine", enforceEager=True),
        ),
    ),
)
COMPILE = KnownCause(
    "CompilationFailed",
    "The model could not be compiled, or a compiled copy in the cache is damaged.",
    "Delete the pod: its cache goes with it. If it comes back, set spec.engine.enforceEager or try "
    "another vLLM.",
    (
        # source: compilation/compiler_interface.py, torch
        Signature(
            r"vLLM failed to compile the model|Inductor cache lookup failed|corrupted compilation artifact"
            r"|torch\._dynamo\.exc\.\w+|torch\._inductor\.exc\.\w+|BackendCompilerFailed|InductorError"
            r"|triton\.compiler\.errors\.\w+|CppCompileError|compiled artifact is not serializable",
            fix=fixes.setting("engine", enforceEager=True),
        ),
        Signature(
            r"CUDA error: operation (?:not permitted|failed).*(?:stream is capturing|capture)"
            r"|Error in memory pool handling during graph capture|No valid cudagraph sizes"
            r"|cudaErrorStreamCapture",
            "CUDA graphs could not be captured.",
            fixes.setting("engine", enforceEager=True),
        ),
    ),
    rank=Rank.GENERAL,
)
CAUSES = (INVISIBLE, DRIVER, ARCHITECTURE, FABRIC, FAULT, COMPILER, COMPILE)
