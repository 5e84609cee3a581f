package org.clnorm.benchmark;
final class Report { Report(Measurements m){} static String machine(org.clnorm.opencl.OpenCl.Candidate c,int t){
return cpu()+", "+t+" cores; "+c.facts().platform()+", "+c.facts().version()+", driver "+c.facts().driver();}
private static String cpu(){ try (var l=java.nio.file.Files.lines(java.nio.file.Path.of("/proc/cpuinfo"))){ return l.filter(x->x.startsWith("model name")).findFirst().map(x->x.substring(x.indexOf(':')+1).strip()).orElse("unknown");} catch(java.io.IOException e){return "unknown";}}
String page(){return "";} }
