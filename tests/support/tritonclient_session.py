# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user of `tritonclient` does, in an environment that has it: a script with one argument, a
JSON file that names ports, arrays and the messages as the server has them."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as by_grpc
import tritonclient.grpc.aio as by_grpc_aio
import tritonclient.http as by_http
import tritonclient.http.aio as by_http_aio
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException, shared_memory

TASK = json.loads(Path(sys.argv[1]).read_text())
GRPC, HTTP = f"127.0.0.1:{TASK['grpc_port']}", f"127.0.0.1:{TASK['http_port']}"
MODEL, INPUT, OUTPUTS = TASK["model"], TASK["input"], TASK["outputs"]
ARRAYS = np.load(TASK["arrays"])
VALUES, WANTED = ARRAYS["values"], {name: ARRAYS[str(i)] for i, name in enumerate(OUTPUTS)}


def grpc_input(values: np.ndarray = VALUES, datatype: str = "FP32") -> by_grpc.InferInput:
    tensor = by_grpc.InferInput(INPUT, values.shape, datatype)
    tensor.set_data_from_numpy(values)
    return tensor


def http_input(*, binary: bool = True) -> by_http.InferInput:
    tensor = by_http.InferInput(INPUT, list(VALUES.shape), "FP32")
    tensor.set_data_from_numpy(VALUES, binary_data=binary)
    return tensor


def check(result) -> None:
    for name, expected in WANTED.items():
        actual = result.as_numpy(name)
        assert actual.dtype == expected.dtype and (actual == expected).all(), name


def check_questions() -> None:
    grpc = by_grpc.InferenceServerClient(GRPC)
    http = by_http.InferenceServerClient(HTTP)
    for client in (grpc, http):
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")
        assert not client.is_model_ready("nothing")
    assert grpc.get_model_metadata(MODEL, as_json=True)["name"] == MODEL
    config, same = grpc.get_model_config(MODEL).config, http.get_model_config(MODEL)
    assert config.max_batch_size == same["max_batch_size"]
    assert [(o.name, list(o.dims)) for o in config.output] == [
        (o["name"], o["dims"]) for o in same["output"]
    ]
    assert len(grpc.get_model_repository_index().models) == len(http.get_model_repository_index())
    assert not grpc.get_system_shared_memory_status().regions
    grpc.unregister_system_shared_memory()
    http.unregister_system_shared_memory()
    for client in (grpc, http):
        try:
            client.register_system_shared_memory("a", "/a", 8)
        except InferenceServerException as error:
            assert "Shared memory is not supported" in error.message()
        else:
            raise AssertionError("shared memory was registered")


def check_larsoft() -> None:
    """The order of calls of LArSoft's client."""
    client = by_grpc.InferenceServerClient(GRPC)
    assert client.is_server_live() and client.is_model_ready(MODEL)
    assert client.get_model_config(MODEL).config.max_batch_size >= len(VALUES)
    metadata = client.get_model_metadata(MODEL)
    assert [o.name for o in metadata.outputs] == OUTPUTS
    before = client.get_inference_statistics(MODEL).model_stats[0]
    expected = [by_grpc.InferRequestedOutput(o.name) for o in metadata.outputs]
    check(client.infer(MODEL, [grpc_input()], outputs=expected))
    check(client.infer(MODEL, [grpc_input()], outputs=expected, compression_algorithm="gzip"))
    after = client.get_inference_statistics(MODEL).model_stats[0]
    assert after.inference_count - before.inference_count == 2 * len(VALUES)


def check_waiting() -> None:
    client = by_http.InferenceServerClient(HTTP, concurrency=4)
    for binary in (True, False):
        for packing in (None, "gzip", "deflate"):
            asked = [by_http.InferRequestedOutput(name, binary_data=binary) for name in OUTPUTS]
            check(
                client.infer(
                    MODEL, [http_input(binary=binary)], outputs=asked,
                    request_compression_algorithm=packing, response_compression_algorithm=packing,
                )
            )  # fmt: skip
    for pending in [client.async_infer(MODEL, [http_input()]) for _ in range(8)]:
        check(pending.get_result())
    grpc = by_grpc.InferenceServerClient(GRPC)
    found: queue.Queue = queue.Queue()
    for _ in range(8):
        grpc.async_infer(MODEL, [grpc_input()], lambda result, error: found.put((result, error)))
    for _ in range(8):
        result, error = found.get(timeout=120)
        assert error is None
        check(result)
    raw = ARRAYS["raw"].astype(np.int16)
    check(grpc.infer(MODEL, [grpc_input(raw, "INT16")]))


def check_stream() -> None:
    client = by_grpc.InferenceServerClient(GRPC)
    found: queue.Queue = queue.Queue()
    client.start_stream(lambda result, error: found.put((result, error)))
    for number in range(20):
        client.async_stream_infer(
            MODEL if number != 7 else "nothing", [grpc_input()], request_id=str(number),
            enable_empty_final_response=True,
        )  # fmt: skip
    for number in range(20):
        result, error = found.get(timeout=120)
        if number == 7:
            assert "is not found" in error.message()
            continue
        assert error is None and result.get_response().id == str(number)
        assert result.get_response().parameters["triton_final_response"].bool_param
        check(result)
    client.stop_stream()


async def check_asyncio() -> None:
    grpc = by_grpc_aio.InferenceServerClient(GRPC)
    for result in await asyncio.gather(*[grpc.infer(MODEL, [grpc_input()]) for _ in range(8)]):
        check(result)

    async def requests():
        for number in range(5):
            yield {"model_name": MODEL, "inputs": [grpc_input()], "request_id": str(number)}

    numbers = []
    async for result, error in grpc.stream_infer(requests()):
        assert error is None
        check(result)
        numbers.append(result.get_response().id)
    assert numbers == ["0", "1", "2", "3", "4"]
    await grpc.close()
    http = by_http_aio.InferenceServerClient(HTTP)
    tensor = by_http_aio.InferInput(INPUT, list(VALUES.shape), "FP32")
    tensor.set_data_from_numpy(VALUES)
    for result in await asyncio.gather(*[http.infer(MODEL, [tensor]) for _ in range(4)]):
        check(result)
    await http.close()


def check_shared_memory() -> None:
    """The input is read from memory, and the outputs are written there."""
    for module, protocol in ((by_grpc, "grpc"), (by_http, "http")):
        client = module.InferenceServerClient(f"127.0.0.1:{TASK[f'sharing_{protocol}_port']}")
        size = VALUES.nbytes + sum(wanted.nbytes for wanted in WANTED.values())
        key = f"/edgeinfer-test-{os.getpid()}"
        memory = shared_memory.create_shared_memory_region("all", key, size, create_only=True)
        try:
            shared_memory.set_shared_memory_region(memory, [VALUES])
            client.register_system_shared_memory("all", key, size)
            status = client.get_system_shared_memory_status()
            listed = status if isinstance(status, list) else list(status.regions.values())
            assert len(listed) == 1
            tensor = module.InferInput(INPUT, list(VALUES.shape), "FP32")
            tensor.set_shared_memory("all", VALUES.nbytes)
            check(client.infer(MODEL, [tensor]))
            end, places, asked = VALUES.nbytes, {}, []
            for name, wanted in WANTED.items():
                places[name] = end
                asked.append(module.InferRequestedOutput(name))
                asked[-1].set_shared_memory("all", wanted.nbytes, end)
                end += wanted.nbytes
            client.infer(MODEL, [tensor], outputs=asked)
            for name, wanted in WANTED.items():
                actual = shared_memory.get_contents_as_numpy(
                    memory, wanted.dtype, wanted.shape, places[name]
                )
                assert (actual == wanted).all(), name
                del actual  # or the memory could not be closed
            tensor.set_shared_memory("all", VALUES.nbytes, 8 + size)
            try:
                client.infer(MODEL, [tensor])
            except InferenceServerException as error:
                assert "lies beyond" in error.message()
            else:
                raise AssertionError("what lies beyond the region was read")
            client.unregister_system_shared_memory("all")
            status = client.get_system_shared_memory_status()
            assert not (status if isinstance(status, list) else status.regions)
        finally:
            shared_memory.destroy_shared_memory_region(memory)


def check_messages() -> None:
    """Every field that the server knows is the same field in the client's own messages."""
    for name, fields in TASK["messages"].items():
        outer, *inner = name.split(".")
        module = service_pb2 if hasattr(service_pb2, outer) else model_config_pb2
        descriptor = getattr(module, outer).DESCRIPTOR
        for part in inner:
            descriptor = descriptor.nested_types_by_name[part]
        for number, (field, kind, is_list) in fields.items():
            other = descriptor.fields_by_number[int(number)]
            repeated = getattr(other, "is_repeated", other.label == 3)
            assert (other.name, other.type, repeated) == (field, kind, is_list), (name, field)


check_messages()
check_questions()
check_larsoft()
check_waiting()
check_stream()
check_shared_memory()
asyncio.run(check_asyncio())
sys.stdout.write("all is well\n")
