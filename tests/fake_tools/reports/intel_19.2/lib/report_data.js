var areaJSON='{"columns":["", "ALUTs", "FFs", "RAMs", "DSPs", "MLABs", "Details"], "debug_enabled":"true", "type":"module", "total_percent":[1.2, 0.6, 0.3, 0.4, 2.1], "total":[4100, 2611, 9, 43, 4], "name":"System", "max_resources":[854400, 1708800, 2713, 1518, 42720], "children":[{"name":"tagger", "type":"function", "total_kernel_resources":[4100, 2611, 9, 43, 4], "children":[{"name":"tagger.cpp:4 > \\nac_int.h:6", "type":"resource", "data":[7, 5, 0, 0, 2]}]}]}';
var mavJSON='{"nodes":[]}';
var infoJSON='{"name":"Info","rows":[{"data":["./tagger-fpga"],"name":"Project Name"},{"data":["19.2.0 Build 57"],"name":"i++ Version"},{"data":["19.2.0 Build 57 Pro"],"name":"Quartus Version"}]}';
var fileJSON=[{"path":"tagger.cpp", "content":"int main() { return 0; }"}];
